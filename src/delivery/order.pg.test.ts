import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { claimAll, DELIVERED, settleReady } from '../../test/fixtures/attempts.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import { cancelDelivery, retryDelivery } from '../history/by-hand.ts'
import { emit } from '../outbox/emit.ts'
import { fanOut } from '../outbox/relay.ts'
import { loadEvents } from './events.ts'
import { sweep } from './sweep.ts'
import { promoteDue } from './tend.ts'

let database: TestDatabase
let lane: TestLane
beforeAll(async () => {
  database = await openTestDatabase()
})
beforeEach(async () => {
  await database.empty()
  lane = await addLane(database.pool, await database.addOrg())
  await query(`update patchbay.webhook_subscriptions set ordering = 'conversation'`)
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows
const emitTo = (conversationId: string | undefined, n: number) =>
  emit(database.pool, { orgId: lane.orgId, type: 'a.b', data: { n }, conversationId })
const claimed = async (): Promise<number[]> => {
  const { deliveries } = await claimAll(database)
  const events = await loadEvents(database.pool, deliveries)
  return deliveries.map((row) => JSON.parse(events.get(row.event_id)?.data ?? '').n).toSorted()
}
const deliveryOf = async (n: number): Promise<string> =>
  (
    await query(
      `select d.delivery_id from patchbay.webhook_deliveries as d
       join patchbay.outbox_events as e on e.id = d.event_id where (e.data ->> 'n')::int = $1`,
      [n],
    )
  )[0]?.delivery_id
/** Of each conversation that owes something, how many deliveries are open. */
const openOf = async () =>
  (
    await query(
      `select count(*) filter (where not blocked)::int as open from patchbay.delivery_queue
       where ordering_key is not null group by subscription_id, ordering_key`,
    )
  ).map(({ open }) => open)

describe('an ordered lane', () => {
  test('is told from others by what is claimed: only of a conversation does one wait for the end of another', async () => {
    await emitTo('a', 1)
    await emitTo(undefined, 2)
    await fanOut(database.pool, 100)
    const { deliveries } = await claimAll(database)
    expect(deliveries.map((row) => row.is_in_order).toSorted()).toEqual([false, true])
  })

  test('opens one delivery of each conversation, the first; those of none pass freely', async () => {
    await emitTo('a', 1)
    await emitTo('a', 2)
    await emitTo('b', 3)
    await emitTo(undefined, 4)
    await emitTo(undefined, 5)
    await fanOut(database.pool, 100)
    expect(await claimed()).toEqual([1, 3, 4, 5])
    expect(await claimed()).toEqual([])
    const [row] = await query(
      `select state, waits_for from patchbay.webhook_deliveries where state = 'blocked'`,
    )
    expect(row.waits_for).toBe(
      `the deliveries before it in its conversation, first of all ${await deliveryOf(1)}`,
    )
  })

  test('opens the next when the one before is final, delivered or given up, not when it waits', async () => {
    for (const n of [1, 2, 3]) await emitTo('a', n)
    await fanOut(database.pool, 100)
    await settleReady(database, { next: 'retry', afterMs: 0 })
    expect(await claimed()).toEqual([])
    await promoteDue(database.pool, 10)
    await settleReady(database, { next: 'final' })
    expect(await claimed()).toEqual([2])
    expect(await openOf()).toEqual([1])
  })

  test('goes on where an open one is canceled, and where a blocked one is', async () => {
    for (const n of [1, 2, 3, 4]) await emitTo('a', n)
    await fanOut(database.pool, 100)
    await cancelDelivery(database.pool, lane.orgId, await deliveryOf(2))
    await cancelDelivery(database.pool, lane.orgId, await deliveryOf(1))
    expect(await claimed()).toEqual([3])
  })

  test('takes no delivery out of its line, and has one that is final beside the line', async () => {
    for (const n of [1, 2]) await emitTo('a', n)
    await fanOut(database.pool, 100)
    await expect(
      retryDelivery(database.pool, lane.orgId, await deliveryOf(2)),
    ).rejects.toMatchObject({ code: 'CONFLICT' })
    await settleReady(database, { next: 'final' })
    await retryDelivery(database.pool, lane.orgId, await deliveryOf(1))
    expect(await claimed()).toEqual([1, 2])
    expect(await openOf()).toEqual([1])
  })

  test('goes by the order of commits, not of ids', async () => {
    const late = await database.pool.connect()
    await late.query('begin')
    const first = { orgId: lane.orgId, type: 'a.b', conversationId: 'a' }
    await emit(late, { ...first, data: { n: 2 } })
    await emitTo('a', 1)
    await late.query('commit')
    late.release()
    await emitTo('a', 3)
    await fanOut(database.pool, 100)
    const order: number[] = []
    for (let n = 0; n < 3; n += 1) {
      order.push(...(await settleReady(database, DELIVERED)).map(() => n + 1))
    }
    const sent = await query(
      `select (e.data ->> 'n')::int as n from patchbay.webhook_delivery_log as l
       join patchbay.outbox_events as e on e.id = l.event_id order by l.created_at`,
    )
    expect(sent.map(({ n }) => n)).toEqual([1, 2, 3])
    expect(order).toEqual([1, 2, 3])
  })

  test('leaves nothing blocked behind nothing, whatever relays and recorders do at once', async () => {
    const relay = async () => {
      for (let n = 0; n < 40; n += 1) {
        await query(
          `select patchbay.emit_event($1, 'a.b', '{"n":1}', 'c' || (i % 5)) from generate_series(1, 10) as i`,
          [lane.orgId],
        )
        await fanOut(database.pool, 7)
      }
      while ((await fanOut(database.pool, 50)).events > 0);
    }
    let isOver = false
    const record = async () => {
      while (!isOver) await settleReady(database, DELIVERED)
    }
    const recording = Promise.all([record(), record(), record()])
    await Promise.all([relay(), relay()])
    while ((await fanOut(database.pool, 50)).events > 0);
    const deadline = performance.now() + 20_000
    while ((await query('select from patchbay.delivery_queue limit 1')).length > 0) {
      expect(performance.now()).toBeLessThan(deadline)
      expect(Math.max(0, ...(await openOf()))).toBeLessThanOrEqual(1)
    }
    isOver = true
    await recording
    const rows = await query(
      `select e.conversation_id, array_agg(e.id order by l.created_at) as sent
       from patchbay.webhook_delivery_log as l join patchbay.outbox_events as e on e.id = l.event_id
       group by e.conversation_id`,
    )
    expect(rows.flatMap(({ sent }) => sent)).toHaveLength(800)
  })
})

test('a conversation in which nothing is open and something is blocked is found by the sweep', async () => {
  for (const n of [1, 2]) await emitTo('a', n)
  await emitTo('b', 3)
  await fanOut(database.pool, 100)
  await query(
    `update patchbay.delivery_queue set blocked = true, ready = false, due_at = 'infinity' where ordering_key = 'a'`,
  )
  expect(await sweep(database.pool)).toEqual({ lanes: 0, conversations: 1 })
  expect(await sweep(database.pool)).toEqual({ lanes: 0, conversations: 0 })
  expect(await claimed()).toEqual([1, 3])
})

describe('changing the order of a lane', () => {
  test('leaves what is in line in line, and lets it through in its turn', async () => {
    for (const n of [1, 2]) await emitTo('a', n)
    await fanOut(database.pool, 100)
    await query(`update patchbay.webhook_subscriptions set ordering = 'none'`)
    await emitTo('a', 3)
    await fanOut(database.pool, 100)
    expect(await claimed()).toEqual([1, 3])
    await query(
      `update patchbay.delivery_queue set lease_token = null, ready = true where lease_token is not null`,
    )
    await settleReady(database, DELIVERED)
    expect(await claimed()).toEqual([2])
  })
})
