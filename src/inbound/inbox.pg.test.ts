import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { Secret } from '../core/secret.ts'
import { makeDataKeyStore } from '../db/data-keys.ts'
import { type Keyring, openKeyring } from '../security/keyring.ts'
import { makeLocalWrapper } from '../security/local-wrapper.ts'
import {
  type Arrival,
  findArrival,
  type InboxEntry,
  makeInbox,
  markAnswered,
  putArrival,
  sealQuestion,
} from './inbox.ts'
import type { Question } from './question.ts'

const QUESTION: Question = {
  text: 'Where is it?',
  user: { id: 'u-1', name: 'Ann' },
  where: { channel: 'C1', thread: '1.1' },
  answer: { url: 'https://hooks.slack.com/commands/secret' },
  saidId: null,
}

let database: TestDatabase
let keyring: Keyring
let inbox: ReturnType<typeof makeInbox>
let orgId: string
let integrationId: string

beforeAll(async () => {
  database = await openTestDatabase()
  await database.pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('slack', 'Slack', '', '{}')`,
  )
  const masterKey = new Secret(randomBytes(32).toString('base64'))
  const wrapper = makeLocalWrapper('MASTER_KEY', () => [masterKey])
  const store = makeDataKeyStore(database.pool)
  keyring = await openKeyring({ wrapper, store, newId: randomUUID })
  inbox = makeInbox({ db: database.pool, keyring, newToken: randomUUID })
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  orgId = await database.addOrg()
  const { rows } = await database.pool.query<{ id: string }>(
    `insert into patchbay.org_integrations (org_id, provider_key, name) values ($1, 'slack', 'S') returning id`,
    [orgId],
  )
  integrationId = rows[0]?.id ?? ''
})

async function arrivalOf(key: string, question: Question | null = QUESTION): Promise<Arrival> {
  const id = randomUUID()
  const payload = question === null ? null : await sealQuestion(keyring, orgId, id, question)
  return { id, orgId, integrationId, key, payload, messageId: null }
}

const put = (arrival: Arrival) => database.inOrg(orgId, (_, client) => putArrival(client, arrival))

async function ask(): Promise<string> {
  const arrival = await arrivalOf(randomUUID())
  await put(arrival)
  return arrival.id
}

async function take(id: string): Promise<InboxEntry> {
  const entry = await inbox.take(id)
  if (entry === null) throw new Error('it is not to be had')
  return entry
}

const row = async (id: string) =>
  (
    await database.pool.query(
      `select state, payload is null as is_empty, tries, last_error, answer_id,
         round(extract(epoch from due_at - now()))::int as due_in_s
       from patchbay.inbound_events where id = $1`,
      [id],
    )
  ).rows[0]

/** As if so many seconds had gone by. */
const pass = (id: string, seconds: number) =>
  database.pool.query(
    'update patchbay.inbound_events set due_at = due_at - make_interval(secs => $2) where id = $1',
    [id, seconds],
  )

const answer = (entry: InboxEntry, isBrought: boolean) =>
  database.inOrg(orgId, (_, client) =>
    markAnswered(client, entry, {
      conversationId: randomUUID(),
      messageId: randomUUID(),
      answerId: entry.id,
      isBrought,
    }),
  )

test('a key is new once, and once for each integration', async () => {
  const first = await arrivalOf('k')
  expect([await put(first), await put(await arrivalOf('k'))]).toEqual([true, false])
  const known = await database.inOrg(orgId, (_, client) => findArrival(client, first))
  expect(known).toEqual({ id: first.id, state: 'waiting', messageId: null, answerId: null })
  const none = await database.inOrg(orgId, (_, client) =>
    findArrival(client, { ...first, key: 'other' }),
  )
  expect(none).toBe(null)
})

test('a key whose transaction is rolled back is free again', async () => {
  const arrival = await arrivalOf('k')
  await expect(
    database.inOrg(orgId, async (_, client) => {
      await putArrival(client, arrival)
      throw new Error('no such conversation')
    }),
  ).rejects.toThrow('no such conversation')
  expect(await put(await arrivalOf('k'))).toBe(true)
})

test('ten at once with one key are one', async () => {
  const arrivals = await Promise.all(Array.from({ length: 10 }, () => arrivalOf('k')))
  const isNew = await Promise.all(arrivals.map(put))
  expect(isNew.filter(Boolean)).toHaveLength(1)
})

test('what asks for nothing is done when it comes', async () => {
  const arrival = await arrivalOf('k', null)
  await put(arrival)
  expect(await inbox.take(arrival.id)).toBe(null)
  expect(await row(arrival.id)).toMatchObject({ state: 'done', tries: 0 })
})

test('a question is taken by one, who has it for three minutes', async () => {
  const id = await ask()
  const taken = await Promise.all(Array.from({ length: 5 }, () => inbox.take(id)))
  const entries = taken.filter((entry) => entry !== null)
  expect(entries).toMatchObject([
    {
      id,
      orgId,
      integrationId,
      providerKey: 'slack',
      isEnabled: true,
      tries: 1,
      question: QUESTION,
      answerId: null,
    },
  ])
  await pass(id, 179)
  expect(await inbox.take(id)).toBe(null)
  await pass(id, 1)
  expect(await take(id)).toMatchObject({ tries: 2 })
})

test('what was asked is sealed in the database, and gone when it is done', async () => {
  const id = await ask()
  const { rows } = await database.pool.query(
    'select e::text as row from patchbay.inbound_events as e where id = $1',
    [id],
  )
  expect(rows[0].row).not.toContain(Buffer.from('Where is it?').toString('hex'))
  await inbox.end(await take(id), 'done', null)
  expect(await row(id)).toMatchObject({ state: 'done', is_empty: true })
})

test('who lost a question to another changes nothing of it', async () => {
  const id = await ask()
  const frozen = await take(id)
  await pass(id, 180)
  const second = await take(id)
  await inbox.end(frozen, 'failed', 'too late')
  await inbox.again(frozen, 'too late', 0)
  expect(await answer(frozen, true)).toBe(false)
  expect(await row(id)).toMatchObject({ state: 'waiting', last_error: null, due_in_s: 180 })
  expect(await answer(second, true)).toBe(true)
  expect(await row(id)).toMatchObject({ state: 'done', is_empty: true, answer_id: id })
  expect(await inbox.take(id)).toBe(null)
})

test('a turn that is committed and not brought is only to be brought', async () => {
  const id = await ask()
  expect(await answer(await take(id), false)).toBe(true)
  await pass(id, 180)
  const entry = await take(id)
  expect(entry).toMatchObject({ answerId: id, question: QUESTION })
  await inbox.end(entry, 'done', null)
  expect(await row(id)).toMatchObject({ state: 'done', is_empty: true, answer_id: id })
})

test('a try that failed is due again when it was said, and says why', async () => {
  const id = await ask()
  await inbox.again(await take(id), 'no model', 8)
  expect(await row(id)).toMatchObject({ state: 'waiting', last_error: 'no model', due_in_s: 8 })
  expect(await inbox.take(id)).toBe(null)
  await pass(id, 8)
  expect(await take(id)).toMatchObject({ tries: 2 })
})

test('of a disabled or removed integration a question says so', async () => {
  const id = await ask()
  await database.pool.query(
    'update patchbay.org_integrations set is_enabled = false where id = $1',
    [integrationId],
  )
  expect(await take(id)).toMatchObject({ isEnabled: false })
})

test('overdue is what nobody has come for in twenty seconds, oldest first', async () => {
  const [fresh, first, second, taken, done] = await Promise.all([ask(), ask(), ask(), ask(), ask()])
  await pass(first, 30)
  await pass(second, 21)
  await take(taken)
  await inbox.end(await take(done), 'done', null)
  await pass(done, 600)
  const mine = new Set([fresh, first, second, taken, done])
  const overdue = async () => (await inbox.overdue()).filter((id) => mine.has(id))
  expect(await overdue()).toEqual([first, second])
  await pass(taken, 201)
  expect(await overdue()).toEqual([first, second, taken])
})
