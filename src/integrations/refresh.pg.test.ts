import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { makeStore } from '../../test/fixtures/data-key-store.ts'
import { openTestDatabase } from '../../test/fixtures/database.ts'
import { until } from '../../test/fixtures/process.ts'
import { makeNewId } from '../core/id.ts'
import { Secret } from '../core/secret.ts'
import { openPool } from '../db/pool.ts'
import { findApiRole, openTenants } from '../db/tenants.ts'
import { makeSlack } from '../providers/slack/slack.ts'
import { openKeyring } from '../security/keyring.ts'
import { makeLocalWrapper } from '../security/local-wrapper.ts'
import { makeLog } from '../telemetry/log.ts'
import { openCredentials, sealCredentials } from './credentials.ts'
import { makeIntegrations } from './integrations.ts'
import { makeRefresh, type Refreshed, type RefreshToken } from './refresh.ts'

const database = await openTestDatabase()
const { pool } = database
/** Another process's connections. */
const elsewhere = openPool({
  url: database.url,
  max: 2,
  applicationName: 'another process',
  onError: () => undefined,
})
const stack = new AsyncDisposableStack()
const SLACK = makeSlack({ apiUrl: 'https://slack.com/api/', webhookHosts: ['hooks.slack.com'] })
afterAll(async () => {
  await stack.disposeAsync()
  await elsewhere.end()
  await database[Symbol.asyncDispose]()
})
const newId = makeNewId({ nowMs: Date.now, randomBytes })
const masterKey = new Secret(randomBytes(32).toString('base64'))
const wrapper = makeLocalWrapper('MASTER_KEY', () => [masterKey])
const keyring = await openKeyring({ wrapper, store: makeStore(), newId })

let asked: string[] = []
const renewed = (token: string): Refreshed => ({
  ok: true,
  expiresInS: 43_200,
  credentials: { botToken: `new of ${token}`, refreshToken: `after ${token}` },
})
let answer = renewed
const refreshToken: RefreshToken = async (_, credentials) => {
  const token = credentials.refreshToken ?? ''
  asked.push(token)
  // As long as an app takes: another one comes in between.
  await sleep(300)
  return answer(token)
}
/** Whether what seals cannot be reached, at each of its calls. */
let isSealingAway = () => false
const refreshOn = (db: typeof pool) =>
  makeRefresh({
    db,
    keyring: {
      open: keyring.open,
      seal: (context, text) =>
        isSealingAway() ? Promise.reject(new Error('no vault')) : keyring.seal(context, text),
    },
    refreshToken,
    callApp: () => Promise.resolve(() => Promise.reject(new Error('is not called'))),
    log: makeLog('silent'),
  })
const mine = refreshOn(pool)
const theirs = refreshOn(elsewhere)

beforeEach(async () => {
  asked = []
  answer = renewed
  isSealingAway = () => false
  await database.empty()
})

async function addIntegration(endsIn: string): Promise<{ orgId: string; id: string }> {
  const orgId = await database.addOrg()
  const id = newId()
  const given = { botToken: 'old', refreshToken: 'first' }
  const { credentials, credentialFields } = await sealCredentials(keyring, orgId, id, given)
  await pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('slack', 'Slack', '', '{}') on conflict do nothing`,
  )
  await pool.query(
    `insert into patchbay.org_integrations (id, org_id, provider_key, name, credentials, credential_fields, token_expires_at)
     values ($1, $2, 'slack', 'Slack', $3, $4, now() + $5::interval)`,
    [id, orgId, credentials, credentialFields, endsIn],
  )
  return { orgId, id }
}

async function read(id: string) {
  const { rows } = await pool.query(
    `select org_id, credentials, is_enabled, disconnected_reason, revision, refreshing_until,
       extract(epoch from token_expires_at - now())::int as ends_in_s
     from patchbay.org_integrations where id = $1`,
    [id],
  )
  const [row] = rows
  return { ...row, opened: await openCredentials(keyring, row.org_id, id, row.credentials) }
}

test('two processes that refresh one token at once ask the app once, and both go on with what it gave', async () => {
  const { id } = await addIntegration('1 minute')
  await Promise.all([mine.refresh(id), theirs.refresh(id)])
  expect(asked).toEqual(['first'])
  const after = await read(id)
  expect(after.opened).toEqual({ botToken: 'new of first', refreshToken: 'after first' })
  expect(after).toMatchObject({ revision: 2, refreshing_until: null, is_enabled: true })
  expect(after.ends_in_s).toBeGreaterThan(43_000)
})

test('a token that lasts is left; one that the app refused is refreshed all the same, if it still is that one', async () => {
  const { id } = await addIntegration('11 hours')
  await mine.refresh(id)
  expect(asked).toEqual([])
  await Promise.all([mine.refresh(id, 1), theirs.refresh(id, 1)])
  // Who learned of it late has the old revision.
  await theirs.refresh(id, 1)
  expect(asked).toEqual(['first'])
})

test('the look for what is due finds those that end soon, of integrations that are connected', async () => {
  const { id } = await addIntegration('1 hour')
  await addIntegration('11 hours')
  const ended = await addIntegration('1 minute')
  await pool.query('update patchbay.org_integrations set is_enabled = false where id = $1', [
    ended.id,
  ])
  await mine.refreshDue()
  expect(asked).toEqual(['first'])
  expect((await read(id)).revision).toBe(2)
})

test('an app that will not give another one disconnects the integration and says why; trouble that passes does not', async () => {
  const { id } = await addIntegration('1 minute')
  answer = () => ({ ok: false, isFinal: false, reason: 'Slack could not be reached.' })
  await mine.refresh(id)
  expect(await read(id)).toMatchObject({ is_enabled: true, revision: 1 })
  // Its turn is not over before the lease is: nobody asks in a circle.
  await mine.refreshDue()
  expect(asked).toEqual(['first'])
  await pool.query('update patchbay.org_integrations set refreshing_until = now() where id = $1', [
    id,
  ])
  answer = () => ({ ok: false, isFinal: true, reason: 'Install the app again.' })
  await mine.refresh(id)
  expect(await read(id)).toMatchObject({
    is_enabled: false,
    disconnected_reason: 'Install the app again.',
    refreshing_until: null,
  })
  const { rows } = await pool.query(
    `select data ->> 'detail' as detail from patchbay.outbox_events where type = 'integration.needs_attention'`,
  )
  expect(rows).toEqual([{ detail: 'Install the app again.' }])
})

const { inOrg, readInOrg } = stack.use(
  openTenants({
    url: database.url,
    role: await findApiRole(pool),
    max: 2,
    applicationName: 'patchbay test api',
    onError: () => undefined,
  }),
)

test('what the app gave is kept, though what seals it is away for a moment', async () => {
  const { id } = await addIntegration('1 minute')
  let calls = 0
  isSealingAway = () => {
    calls += 1
    return calls <= 2
  }
  await mine.refresh(id)
  expect(asked).toEqual(['first'])
  expect((await read(id)).opened).toEqual({ botToken: 'new of first', refreshToken: 'after first' })
})

describe('what a person does while a token is being refreshed', () => {
  const integrations = makeIntegrations({
    inOrg,
    readInOrg,
    keyring,
    findProvider: () => SLACK,
    newId,
    mayInstallInternal: () => true,
    audit: () => Promise.resolve(),
    nowMs: Date.now,
    callApp: () => Promise.reject(new Error('no app is called here')),
    urlJudge: async () => () => null,
    whenChanged: () => undefined,
  })

  test('counts: a token that was pasted stays', async () => {
    const { orgId, id } = await addIntegration('1 minute')
    const refreshing = mine.refresh(id)
    await until('the app is asked', () => asked.length === 1)
    const credentials = { botToken: 'xoxb-pasted' }
    await integrations.update(orgId, id, { credentials }, actor())
    await refreshing
    expect((await read(id)).opened).toEqual(credentials)
  })

  test('counts: of what was removed no secret comes back', async () => {
    const { orgId, id } = await addIntegration('1 minute')
    const refreshing = mine.refresh(id)
    await until('the app is asked', () => asked.length === 1)
    await integrations.remove(orgId, id, actor())
    await refreshing
    expect(await read(id)).toMatchObject({ credentials: null, ends_in_s: null })
  })
})
