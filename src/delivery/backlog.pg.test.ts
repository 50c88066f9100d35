import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { claimAll } from '../../test/fixtures/attempts.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addDeliveries, addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import { emit } from '../outbox/emit.ts'
import { type Backlog, readBacklog, readDelay } from './backlog.ts'

let database: TestDatabase
let lane: TestLane
beforeAll(async () => {
  database = await openTestDatabase()
})
beforeEach(async () => {
  await database.empty()
  lane = await addLane(database.pool, await database.addOrg())
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows
const backlog = () => readBacklog(database.pool)
const delay = () => readDelay(database.pool)

const NOTHING: Backlog = {
  pending: 0,
  ready: 0,
  inFlight: 0,
  blocked: 0,
  held: 0,
  waiting: 0,
  healthy: 0,
  failing: 0,
  circuitOpen: 0,
  refused: 0,
  disabled: 0,
  refusedIntegrations: 0,
}

test('an installation with nothing in it has zeros, and no gap', async () => {
  await database.empty()
  expect(await backlog()).toEqual(NOTHING)
  expect(await delay()).toEqual({ pendingAgeS: 0, owedAgeS: 0, deadRows: expect.any(Number) })
})

test('deliveries are counted by the state that webhook_deliveries shows', async () => {
  const ids = await addDeliveries(database.pool, lane, 15)
  const make = (from: number, to: number, change: string) =>
    query(`update patchbay.delivery_queue set ${change} where id = any ($1)`, [ids.slice(from, to)])
  await make(0, 1, `ready = false, due_at = now() + interval '1 hour'`)
  await make(1, 3, `ready = false, due_at = 'infinity'`)
  await make(
    3,
    6,
    `ready = false, blocked = true, due_at = 'infinity', ordering_key = 'c', place = 1`,
  )
  await make(6, 10, `ready = false, lease_token = gen_random_uuid()`)
  const counted = await backlog()
  expect(counted).toMatchObject({ waiting: 1, held: 2, blocked: 3, inFlight: 4, ready: 5 })
  const shown = await query(
    'select state, count(*)::int as count from patchbay.webhook_deliveries group by state order by count',
  )
  expect(shown.map(({ state, count }) => [state, count])).toEqual([
    ['waiting', counted.waiting],
    ['held', counted.held],
    ['blocked', counted.blocked],
    ['in flight', counted.inFlight],
    ['ready', counted.ready],
  ])
})

test('what is not fanned out has the age of the event that has waited longest', async () => {
  for (const n of [1, 2]) await emit(database.pool, { orgId: lane.orgId, type: 'a.b', data: { n } })
  await query(
    `update patchbay.outbox_pending set event_id = patchbay.id_floor(now() - interval '90 seconds')
     where place = (select max(place) from patchbay.outbox_pending)`,
  )
  expect(await backlog()).toMatchObject({ pending: 2 })
  expect(Math.round((await delay()).pendingAgeS)).toBe(90)
})

test('what is owed has the age of the healthy lane that has waited longest', async () => {
  await addDeliveries(database.pool, lane)
  await query(`update patchbay.delivery_queue set due_at = now() - interval '20 seconds'`)
  expect(Math.round((await delay()).owedAgeS)).toBe(20)
  await claimAll(database)
  expect((await delay()).owedAgeS).toBe(0)
})

test.each([
  ['healthy', 'select'],
  ['failing', 'update patchbay.subscription_health set consecutive_failures = 3'],
  [
    'circuitOpen',
    'update patchbay.subscription_health set consecutive_failures = 12, open_until = now()',
  ],
  ['disabled', 'update patchbay.webhook_subscriptions set is_active = false'],
  ['disabled', 'update patchbay.org_integrations set is_enabled = false'],
  [
    'refused',
    'update patchbay.webhook_subscriptions set is_active = false, needs_attention = true',
  ],
] as const)('a subscription is %s after: %s', async (state, change) => {
  await query(change)
  const { healthy, failing, circuitOpen, refused, disabled } = await backlog()
  const counted = { healthy, failing, circuitOpen, refused, disabled }
  const others = { healthy: 0, failing: 0, circuitOpen: 0, refused: 0, disabled: 0 }
  expect(counted).toEqual({ ...others, [state]: 1 })
})

test('what was deleted is nothing to be done', async () => {
  await query('update patchbay.webhook_subscriptions set deleted_at = now()')
  expect(await backlog()).toMatchObject(NOTHING)
})

test('an integration is refused that its app has turned away, not one that a person switched off', async () => {
  await query('update patchbay.org_integrations set is_enabled = false')
  expect(await backlog()).toMatchObject({ refusedIntegrations: 0 })
  await query(`update patchbay.org_integrations set disconnected_reason = 'token_revoked'`)
  expect(await backlog()).toMatchObject({ refusedIntegrations: 1 })
  await query('update patchbay.org_integrations set deleted_at = now()')
  expect(await backlog()).toMatchObject({ refusedIntegrations: 0 })
})

test('rows that are gone are counted until they are vacuumed', async () => {
  await addDeliveries(database.pool, lane, 500)
  await query('delete from patchbay.delivery_queue')
  // Postgres tells its statistics once in ten seconds at most.
  const told = { timeout: 20_000 }
  await expect.poll(async () => (await delay()).deadRows, told).toBeGreaterThanOrEqual(500)
  await query('vacuum patchbay.delivery_queue')
  await expect.poll(async () => (await delay()).deadRows, told).toBe(0)
})

test('the delays read no table, however much is pending and owed', async () => {
  await addDeliveries(database.pool, lane, 2000)
  await query(
    `insert into patchbay.outbox_pending (event_id, org_id, type)
     select patchbay.new_id(), $1, 'a.b' from generate_series(1, 20000)`,
    [lane.orgId],
  )
  await query('analyze patchbay.outbox_pending, patchbay.delivery_queue')
  const client = await database.pool.connect()
  await client.query('begin')
  await readDelay(client)
  const { rows } = await client.query(
    `select sum(seq_tup_read)::int as rows from pg_stat_xact_user_tables where relname in ('outbox_pending', 'delivery_queue')`,
  )
  await client.query('rollback')
  client.release()
  expect(rows).toEqual([{ rows: 0 }])
})
