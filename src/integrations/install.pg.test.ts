import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addLane } from '../../test/fixtures/lanes.ts'
import { Secret } from '../core/secret.ts'
import { makeDataKeyStore } from '../db/data-keys.ts'
import { type Keyring, openKeyring } from '../security/keyring.ts'
import { makeLocalWrapper } from '../security/local-wrapper.ts'
import { makeLog } from '../telemetry/log.ts'
import { disconnect } from './disconnect.ts'
import { makeInstalls } from './install.ts'
import { makeRefresh, type Refreshed } from './refresh.ts'

let database: TestDatabase
let keyring: Keyring
let installs: ReturnType<typeof makeInstalls>
let orgId: string
beforeAll(async () => {
  database = await openTestDatabase()
  const masterKey = new Secret(randomBytes(32).toString('base64'))
  keyring = await openKeyring({
    wrapper: makeLocalWrapper('MASTER_KEY', () => [masterKey]),
    store: makeDataKeyStore(database.pool),
    newId: randomUUID,
  })
  installs = makeInstalls({
    inOrg: database.inOrg,
    db: database.pool,
    keyring,
    newId: randomUUID,
    audit: () => Promise.resolve(),
  })
})
beforeEach(async () => {
  await database.empty()
  orgId = await database.addOrg()
  // Its provider is there for the others.
  await addLane(database.pool, orgId)
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows
const app = (externalId: string, botToken = 'xoxb-1') => ({
  providerKey: 'generic-webhook',
  externalId,
  externalName: 'Acme',
  credentials: { botToken, refreshToken: 'xoxe-1' },
  tokenExpiresInS: 43_200,
})
const stateOf = async (id: string) =>
  (
    await query(
      `select is_enabled, disconnected_reason, revision, token_expires_at > now() as is_fresh
       from patchbay.org_integrations where id = $1`,
      [id],
    )
  )[0]

describe('the state of an install', () => {
  test('serves once, and says whose it is', async () => {
    const { state, browser } = await installs.begin(orgId, 'ann')
    expect(await installs.use(state, browser)).toEqual({ orgId, userId: 'ann' })
    await expect(installs.use(state, browser)).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: expect.stringContaining('used already'),
    })
  })

  test('is used up by another browser, which gets nothing for it', async () => {
    const { state, browser } = await installs.begin(orgId, 'ann')
    const other = await installs.begin(orgId, 'eve')
    await expect(installs.use(state, other.browser)).rejects.toMatchObject({
      message: expect.stringContaining('another browser'),
    })
    await expect(installs.use(state, browser)).rejects.toMatchObject({ code: 'FORBIDDEN' })
  })

  test('is refused after ten minutes', async () => {
    const { state, browser } = await installs.begin(orgId, 'ann')
    await query(`update patchbay.app_installs set expires_at = expires_at - interval '10 minutes'`)
    await expect(installs.use(state, browser)).rejects.toMatchObject({
      message: expect.stringContaining('ten minutes'),
    })
  })

  test('is kept as a digest, like what the browser has', async () => {
    const { state, browser } = await installs.begin(orgId, 'ann')
    const [row] = await query('select to_jsonb(i)::text as text from patchbay.app_installs as i')
    for (const secret of [state, browser]) {
      expect(row.text).not.toContain(secret)
      expect(row.text).not.toContain(Buffer.from(secret).toString('hex'))
    }
  })
})

describe('a workspace', () => {
  test('that is installed again is the same integration, connected again', async () => {
    const id = await installs.keep(orgId, app('T1'), actor())
    await disconnect(database.pool, orgId, id, 'The app was removed.', Date.now() / 1000)
    expect(await stateOf(id)).toMatchObject({ is_enabled: false })
    expect(await installs.keep(orgId, app('T1', 'xoxb-2'), actor())).toBe(id)
    expect(await stateOf(id)).toMatchObject({ is_enabled: true, disconnected_reason: null })
  })

  test('of another org is refused until its integration there is deleted', async () => {
    const other = await database.addOrg()
    const theirs = await installs.keep(other, app('T1'), actor())
    await disconnect(database.pool, other, theirs, 'The app was removed.', Date.now() / 1000)
    await expect(installs.keep(orgId, app('T1'), actor())).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('Delete the integration there first'),
    })
    await query('update patchbay.org_integrations set deleted_at = now() where id = $1', [theirs])
    expect(await installs.keep(orgId, app('T1'), actor())).not.toBe(theirs)
  })
})

describe('a token', () => {
  const refreshWith = (answer: () => Refreshed | null) => {
    let calls = 0
    const made = () =>
      makeRefresh({
        db: database.pool,
        keyring,
        refreshToken: () => {
          calls += 1
          return Promise.resolve(answer())
        },
        callApp: () => Promise.resolve(() => Promise.reject(new Error('nobody is called'))),
        log: makeLog('silent'),
      })
    return { one: made(), another: made(), calls: () => calls }
  }
  const fresh = (): Refreshed => ({
    ok: true,
    credentials: { botToken: 'xoxb-2', refreshToken: 'xoxe-2' },
    expiresInS: 43_200,
  })

  test('whose end nobody knew is renewed when the app refuses it, and its end is known then', async () => {
    const id = await installs.keep(orgId, { ...app('T1'), tokenExpiresInS: null }, actor())
    const { revision } = await stateOf(id)
    await refreshWith(fresh).one.refresh(id, revision)
    expect(await stateOf(id)).toMatchObject({ revision: revision + 1, is_fresh: true })
  })

  test('that nothing renews disconnects the integration when the app refuses it, and not before', async () => {
    const id = await installs.keep(orgId, { ...app('T1'), tokenExpiresInS: 60 }, actor())
    const { revision } = await stateOf(id)
    const { one, another } = refreshWith(() => null)
    await one.refreshDue()
    expect(await stateOf(id)).toMatchObject({ is_enabled: true })
    await query('update patchbay.org_integrations set refreshing_until = null where id = $1', [id])
    await another.refresh(id, revision)
    expect(await stateOf(id)).toMatchObject({
      is_enabled: false,
      disconnected_reason: expect.stringContaining('has run out'),
    })
  })
})
