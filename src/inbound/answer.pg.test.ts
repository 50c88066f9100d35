import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { openTestDatabase } from '../../test/fixtures/database.ts'
import { makeConversations } from '../chat/conversations.ts'
import { AppError } from '../core/error.ts'
import { Secret } from '../core/secret.ts'
import { makeDataKeyStore } from '../db/data-keys.ts'
import { openKeyring } from '../security/keyring.ts'
import { makeLocalWrapper } from '../security/local-wrapper.ts'
import { makeLog } from '../telemetry/log.ts'
import { makeAnswerQuestion } from './answer.ts'
import { makeInbox, putArrival, sealQuestion } from './inbox.ts'
import { makeThreads } from './threads.ts'

const database = await openTestDatabase()
afterAll(() => database[Symbol.asyncDispose]())
const { pool, inOrg } = database
const wrapper = makeLocalWrapper('MASTER_KEY', () => [
  new Secret(randomBytes(32).toString('base64')),
])
const keyring = await openKeyring({
  wrapper,
  store: makeDataKeyStore(pool),
  newId: randomUUID,
})
/** What opens and seals is a service on the network. */
let isVaultAway = false
const inbox = makeInbox({
  db: pool,
  keyring: {
    open: (context, sealed) =>
      isVaultAway ? Promise.reject(new Error('no vault')) : keyring.open(context, sealed),
  },
  newToken: randomUUID,
})
let turn: () => Promise<never>
let told: string[] = []
const answer = makeAnswerQuestion({
  inOrg,
  inbox,
  threads: makeThreads(pool),
  turn: () => turn(),
  beginConversation: makeConversations({ inOrg }).begin,
  messageText: () => Promise.resolve(null),
  channelSubscription: () => Promise.resolve(null),
  anySubscription: () => Promise.resolve(null),
  postTo: async (_orgId, _providerKey, _url, text) => {
    told.push(text)
  },
  wake: () => undefined,
  log: makeLog('silent'),
})

beforeEach(async () => {
  turn = () => Promise.reject(new AppError('UNAVAILABLE', 'The model could not answer.'))
  told = []
  isVaultAway = false
  await database.empty()
})

/** A slash command. */
async function ask(): Promise<string> {
  const orgId = await database.addOrg()
  await pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('slack', 'Slack', '', '{}') on conflict do nothing`,
  )
  const { rows } = await pool.query(
    `insert into patchbay.org_integrations (org_id, provider_key, name) values ($1, 'slack', 'S') returning id`,
    [orgId],
  )
  const id = randomUUID()
  const payload = await sealQuestion(keyring, orgId, id, {
    text: 'What is new?',
    user: { id: 'U1', name: null },
    where: null,
    answer: { url: 'https://hooks.slack.com/commands/1' },
    saidId: null,
  })
  const arrival = { id, orgId, integrationId: rows[0].id, key: 'command:1', payload }
  await inOrg(orgId, (_, client) => putArrival(client, { ...arrival, messageId: null }))
  return id
}

const change = (id: string, columns: string) =>
  pool.query(`update patchbay.inbound_events set ${columns} where id = $1`, [id])
const read = async (id: string) =>
  (await pool.query('select * from patchbay.inbound_events where id = $1', [id])).rows[0]
const run = (id: string) => answer(id, new AbortController().signal)

test('a question with a conversation of its own has one, however often it is tried', async () => {
  const id = await ask()
  for (const againInS of [2, 8, 32]) {
    expect(await run(id)).toEqual({ againInS, answerId: null })
    await change(id, 'due_at = now()')
  }
  const { rows } = await pool.query('select id from patchbay.conversations')
  expect(rows).toEqual([{ id: (await read(id)).conversation_id }])
})

test('whoever lost a question to another says nothing to the asker', async () => {
  const id = await ask()
  await change(id, 'tries = 4')
  turn = async () => {
    // Frozen for longer than the question was its own.
    await change(id, 'due_at = now()')
    expect(await inbox.take(id)).toMatchObject({ id })
    throw new AppError('UNAVAILABLE', 'The model could not answer.')
  }
  await run(id)
  expect(told).toEqual([])
  expect(await read(id)).toMatchObject({ state: 'waiting', last_error: null })
})

test('the last try that fails is told to the asker', async () => {
  const id = await ask()
  await change(id, 'tries = 4')
  await run(id)
  expect(told).toEqual([expect.stringContaining('could not answer')])
  expect(await read(id)).toMatchObject({ state: 'failed', payload: null })
})

test('a question that cannot be opened at the moment has lost no try, and is due soon', async () => {
  const id = await ask()
  isVaultAway = true
  await expect(run(id)).rejects.toThrow('no vault')
  expect(await read(id)).toMatchObject({ state: 'waiting', tries: 0, lease_token: null })
  await change(id, `due_at = due_at - interval '10 seconds'`)
  isVaultAway = false
  expect(await run(id)).toEqual({ againInS: 2, answerId: null })
})

test('a worker that stops gives its question back, and takes none', async () => {
  const id = await ask()
  await change(id, 'tries = 4')
  const stopping = new AbortController()
  turn = () => {
    stopping.abort()
    return Promise.reject(new AppError('UNAVAILABLE', 'The model could not answer.'))
  }
  expect(await answer(id, stopping.signal)).toEqual({ againInS: null, answerId: null })
  expect(await read(id)).toMatchObject({ state: 'waiting', tries: 4, lease_token: null })
  await change(id, 'due_at = now()')
  await answer(id, stopping.signal)
  expect(await read(id)).toMatchObject({ state: 'waiting', tries: 4 })
  expect(told).toEqual([])
})
