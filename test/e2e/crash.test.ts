import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { emit, verifyWebhook } from '../../src/index.ts'
import { openTestDatabase, type TestDatabase } from '../fixtures/database.ts'
import { newSecrets, startPatchbay, until } from '../fixtures/process.ts'
import { openReceiver, type Receiver } from '../fixtures/receiver.ts'
import { subscribe } from '../fixtures/subscription.ts'

const EVENTS = 1000
const LEASE_MS = 30_000

let stack: AsyncDisposableStack
let database: TestDatabase
let orgId: string
let env: Record<string, string>

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  database = stack.use(await openTestDatabase())
  orgId = await database.addOrg()
  env = { ...newSecrets(), DATABASE_URL: database.url }
})
afterEach(() => stack.disposeAsync())

async function subscribeTo(receiver: Receiver, eventTypes = ['*']): Promise<string> {
  const masterKey = env.MASTER_KEY ?? ''
  const input = { url: `${receiver.url}/hook`, eventTypes }
  return (await subscribe(database, masterKey, orgId, input)).secret
}

async function emitMany(count: number): Promise<void> {
  await database.pool.query(
    `select patchbay.emit_event($1, 'load.test', json_build_object('n', n)) from generate_series(1, $2) as n`,
    [orgId, count],
  )
}

async function isSettled(): Promise<boolean> {
  const { rows } = await database.pool.query(
    `select not exists (select from patchbay.outbox_pending) and not exists (select from patchbay.delivery_queue) as ok`,
  )
  return rows[0].ok
}

function idsOf(receiver: Receiver): Set<unknown> {
  return new Set(receiver.requests.map((request) => request.headers['webhook-id']))
}

/** Every copy of a webhook has the same id and the same bytes. */
function expectSameBytes(receiver: Receiver): void {
  const bodies = new Map<unknown, string>()
  for (const { headers, body } of receiver.requests) {
    const first = bodies.get(headers['webhook-id'])
    if (first === undefined) bodies.set(headers['webhook-id'], body)
    else expect(body).toBe(first)
  }
}

describe('a worker', () => {
  test('killed in the middle of 1,000 deliveries loses none, and a copy has the same id and bytes', async () => {
    // So that the kill meets deliveries in flight: slow, and never all of them answered at once.
    let answers = 0
    const receiver = stack.use(
      await openReceiver((response) => {
        answers += 1
        setTimeout(() => response.end('ok'), 20 + 20 * (answers % 5))
      }),
    )
    const secret = await subscribeTo(receiver)
    const first = stack.use(startPatchbay('worker', env))
    await emitMany(EVENTS)
    await until('a part has arrived', () => receiver.requests.length >= 200)
    first.kill('SIGKILL')
    await first.exited
    const beforeRestart = idsOf(receiver).size
    expect(beforeRestart).toBeLessThan(EVENTS)

    stack.use(startPatchbay('worker', env))
    await until('all is settled', isSettled, LEASE_MS + 30_000)
    expect(idsOf(receiver).size).toBe(EVENTS)
    expectSameBytes(receiver)
    const { headers, body } = receiver.requests.at(-1) ?? { headers: {}, body: '' }
    expect(verifyWebhook(secret, headers, body).type).toBe('load.test')
    // What the killed worker held shows in the log, and cost no attempt.
    const { rows } = await database.pool.query(
      `select count(*) filter (where outcome = 'interrupted')::int as interrupted, max(attempt) as attempts,
         count(*) filter (where is_final and outcome = 'delivered')::int as delivered
       from patchbay.webhook_delivery_log`,
    )
    expect(rows[0]).toMatchObject({ attempts: 1, delivered: EVENTS })
    expect(rows[0].interrupted).toBeGreaterThan(0)
  })

  test('shares the work with another one: each event arrives once', async () => {
    const receiver = stack.use(await openReceiver())
    await subscribeTo(receiver)
    const workers = [
      stack.use(startPatchbay('worker', env)),
      stack.use(startPatchbay('worker', env)),
    ]
    await until('both are up', () => workers.every((w) => w.output().includes('service.started')))
    for (let i = 0; i < 10; i += 1) await emitMany(EVENTS / 10)
    await until('all is settled', isSettled)
    expect(receiver.requests).toHaveLength(EVENTS)
    expect(idsOf(receiver).size).toBe(EVENTS)
    // The last lines may still be on their way through the pipes.
    const attempts = () =>
      workers.reduce((sum, w) => sum + w.output().split('delivery.attempted').length - 1, 0)
    await until('each try is logged', () => attempts() >= EVENTS)
    expect(attempts()).toBe(EVENTS)
  })

  test('asked to stop under load ends what is in flight, repeats nothing and exits 0', async () => {
    const receiver = stack.use(
      await openReceiver((response) => void setTimeout(() => response.end('ok'), 50)),
    )
    await subscribeTo(receiver)
    const first = stack.use(startPatchbay('worker', env))
    await emitMany(EVENTS)
    await until('a part has arrived', () => receiver.requests.length >= 100)
    first.kill('SIGTERM')
    expect(await first.exited).toBe(0)
    const { rows } = await database.pool.query(
      'select count(*)::int as leased from patchbay.delivery_queue where lease_token is not null',
    )
    expect(rows[0].leased).toBe(0)

    stack.use(startPatchbay('worker', env))
    await until('all is settled', isSettled)
    expect(receiver.requests).toHaveLength(EVENTS)
  })

  test('keeps owed what a missing receiver did not take, with the reason in the log', async () => {
    const gone = await openReceiver()
    await subscribeTo(gone)
    await gone[Symbol.asyncDispose]()
    stack.use(startPatchbay('worker', env))
    await emitMany(1)
    const view = () => database.pool.query('select * from patchbay.webhook_deliveries')
    await until('one try is logged', async () => (await view()).rows[0]?.attempts === 1)
    expect((await view()).rows[0]).toMatchObject({
      status: 'owed',
      state: 'waiting',
      last_outcome: 'failed',
      last_error: 'connection refused: nothing listens there',
    })
  })
})

describe('an event', () => {
  test('of a transaction that rolls back is never sent; of one that commits, exactly once', async () => {
    const receiver = stack.use(await openReceiver())
    await subscribeTo(receiver)
    const worker = stack.use(startPatchbay('worker', env))
    await until('the worker is up', () => worker.output().includes('service.started'))
    const client = await database.pool.connect()
    const emitOne = (n: string) =>
      emit(client, { orgId, type: 'story.told', data: { n }, conversationId: 'c-1' })
    await client.query('begin')
    await emitOne('rolled back in TypeScript')
    await client.query('rollback')
    await client.query('begin')
    const committed = await emitOne('committed in TypeScript')
    await client.query('commit')
    // The same from SQL alone, as from psql.
    await client.query(
      `begin; select patchbay.emit_event('${orgId}', 'story.told', '{"n":"rolled back in SQL"}'); rollback`,
    )
    await client.query(
      `begin; select patchbay.emit_event(org_id => '${orgId}', type => 'story.told', data => '{"n": "committed in SQL"}'); commit`,
    )
    client.release()
    await until('both have arrived and are recorded', async () => {
      return receiver.requests.length >= 2 && (await isSettled())
    })
    const told = receiver.requests.map((request) => JSON.parse(request.body))
    expect(told.map((event) => event.data.n).sort()).toEqual([
      'committed in SQL',
      'committed in TypeScript',
    ])
    expect(told.find((event) => event.id === committed)).toMatchObject({ conversationId: 'c-1' })
  })
})
