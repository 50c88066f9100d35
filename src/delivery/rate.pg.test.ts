import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { claimAll } from '../../test/fixtures/attempts.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addDeliveries, addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import type { Claim } from './claim.ts'

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
const limitTo = (perSecond: number) =>
  query('update patchbay.webhook_subscriptions set rate_limit = $1', [perSecond])
/** The waits of what is claimed, in the order of their moments. */
const waitsOf = async (wanted = {}) =>
  (await claimAll(database, wanted)).deliveries
    .map((row) => row.send_after_ms ?? Number.NaN)
    .toSorted((a, b) => a - b)

describe('a rate', () => {
  test('gives each delivery a moment of its own, a little more than its share of a second apart', async () => {
    await limitTo(10)
    await addDeliveries(database.pool, lane, 50)
    const waits = await waitsOf()
    expect(waits).toHaveLength(5)
    for (const [n, wait] of waits.entries()) expect(wait).toBeCloseTo(n * 105, 0)
    expect(await waitsOf()).toEqual([])
  })

  test('of less than one a second gives one, and the next when its moment is near', async () => {
    await limitTo(0.1)
    await addDeliveries(database.pool, lane, 5)
    expect(await waitsOf()).toEqual([0])
    expect(await waitsOf()).toEqual([])
    await query(`update patchbay.subscription_health set next_slot_at = now() + interval '499 ms'`)
    const [wait] = await waitsOf()
    expect(wait).toBeGreaterThan(0)
    expect(await waitsOf()).toEqual([])
  })

  test('counts the moments of all workers together', async () => {
    await limitTo(100)
    await addDeliveries(database.pool, lane, 200)
    const startedAt = performance.now()
    const claims = await Promise.all(Array.from({ length: 6 }, () => waitsOf()))
    const tookMs = performance.now() - startedAt
    const { length } = claims.flat()
    expect(length).toBeGreaterThan(40)
    expect(length).toBeLessThanOrEqual(Math.ceil((500 + tookMs) / 10.5) + 1)
  })

  test('takes no moment for what a claim has no room for', async () => {
    await limitTo(100)
    await addDeliveries(database.pool, lane, 200)
    expect(await waitsOf({ slots: 3 })).toHaveLength(3)
    const [next] = await waitsOf()
    expect(next).toBeLessThan(40)
  })

  test('holds for what a person asked for, too', async () => {
    await limitTo(1)
    await addDeliveries(database.pool, lane, 5)
    await query(`update patchbay.delivery_queue set trigger = 'manual'`)
    expect(await waitsOf()).toHaveLength(1)
  })

  test('of one lane leaves the others alone', async () => {
    await limitTo(1)
    const free = await addLane(database.pool, lane.orgId)
    await addDeliveries(database.pool, lane, 5)
    await addDeliveries(database.pool, free, 5)
    const { deliveries } = await claimAll(database)
    const ofFree = deliveries.filter((row) => row.subscription_id === free.subscriptionId)
    expect(ofFree.map((row) => row.send_after_ms)).toEqual([null, null, null, null, null])
    expect(deliveries).toHaveLength(6)
  })

  test('that leaves a lane without a free moment takes nothing from the share of the others', async () => {
    await limitTo(0.01)
    for (let n = 0; n < 9; n += 1) {
      await addDeliveries(database.pool, await addLane(database.pool, lane.orgId))
    }
    await limitTo(0.01)
    await claimAll(database)
    await query('update patchbay.delivery_queue set ready = true, lease_token = null')
    const free = await addLane(database.pool, lane.orgId)
    await addDeliveries(database.pool, free, 100)
    expect((await claimAll(database, { slots: 50 })).deliveries).toHaveLength(50)
  })

  test('that is changed holds from now on', async () => {
    await limitTo(0.001)
    await addDeliveries(database.pool, lane, 10)
    expect(await waitsOf()).toHaveLength(1)
    await limitTo(100)
    expect(await waitsOf()).toHaveLength(9)
  })

  test.each([0, -1, 1e-13, 5e-324, 10_001])(
    'of %d is refused by the table itself',
    async (rate) => {
      await expect(limitTo(rate)).rejects.toMatchObject({ code: '23514' })
    },
  )
})

test('what a person asked for goes before what waits in line', async () => {
  const ids = await addDeliveries(database.pool, lane, 20)
  const last = ids.at(-1)
  await query(`update patchbay.delivery_queue set trigger = 'manual' where id = $1`, [last])
  const { deliveries } = await claimAll(database, { perLane: 3 })
  expect(deliveries.map((row) => row.delivery_id).toSorted()).toEqual([ids[0], ids[1], last])
})

describe('unproven lanes', () => {
  test('share a part of the slots; a lane that delivers has its own', async () => {
    const proven = await addLane(database.pool, lane.orgId)
    await query(
      'update patchbay.subscription_health set last_delivered_at = now() where subscription_id = $1',
      [proven.subscriptionId],
    )
    for (let n = 0; n < 5; n += 1) {
      await addDeliveries(database.pool, await addLane(database.pool, lane.orgId), 10)
    }
    await addDeliveries(database.pool, proven, 50)
    const { deliveries } = await claimAll(database, { unprovenSlots: 7 })
    expect(deliveries.filter((row) => row.is_unproven)).toHaveLength(7)
    expect(deliveries.filter((row) => !row.is_unproven).length).toBeGreaterThan(10)
  })

  test('of which one delivers is proven, until it fails', async () => {
    await addDeliveries(database.pool, lane, 3)
    const [first] = (await claimAll(database, { perLane: 1 })).deliveries
    expect(first?.is_unproven).toBe(true)
    await query('update patchbay.subscription_health set last_delivered_at = now()')
    const [second] = (await claimAll(database, { perLane: 1, unprovenSlots: 0 })).deliveries
    expect(second?.is_unproven).toBe(false)
    await query('update patchbay.subscription_health set consecutive_failures = 1')
    expect((await claimAll(database, { unprovenSlots: 0 })).deliveries).toEqual([])
  })

  test('are walked past, however many they are, when only proven lanes are asked for', async () => {
    const proven: string[] = []
    for (let n = 0; n < 60; n += 1) {
      const { subscriptionId } = await addLane(database.pool, lane.orgId)
      if (n % 20 === 0) proven.push(subscriptionId)
    }
    await query(
      'update patchbay.subscription_health set last_delivered_at = now() where subscription_id = any ($1)',
      [proven],
    )
    await query(
      `insert into patchbay.delivery_queue (org_id, subscription_id, event_id)
       select org_id, id, patchbay.new_id() from patchbay.webhook_subscriptions, generate_series(1, 2)`,
    )
    const { deliveries, walked } = await claimAll(database, { isProvenOnly: true })
    expect(deliveries.map((row) => row.subscription_id).toSorted()).toEqual(
      proven.flatMap((id) => [id, id]).toSorted(),
    )
    // Each proven lane, and at most the one that follows it.
    expect(walked).toBeLessThanOrEqual(6)
    expect(await claimAll(database, { isProvenOnly: true })).toMatchObject({ deliveries: [] })
  })

  test('that have earned more room than a new lane get it', async () => {
    await addDeliveries(database.pool, lane, 50)
    const wanted = { perLane: 5, lanesWithRoom: [lane.subscriptionId], rooms: [20] }
    expect((await claimAll(database, wanted)).deliveries).toHaveLength(20)
    expect((await claimAll(database, { perLane: 5 })).deliveries).toHaveLength(5)
  })
})

describe('fairness', () => {
  /** Of each lane, in the order of their ids, how many deliveries so many claims gave it, each ended at once. */
  async function turns(count: number, claims: number, wanted: Partial<Claim>): Promise<number[]> {
    const lanes: string[] = []
    for (let n = 0; n < count; n += 1) {
      const { subscriptionId } = await addLane(database.pool, lane.orgId)
      await addDeliveries(database.pool, { ...lane, subscriptionId }, 120)
      lanes.push(subscriptionId)
    }
    const had = new Map(lanes.map((id) => [id, 0]))
    for (let n = 0; n < claims; n += 1) {
      const { deliveries } = await claimAll(database, wanted)
      for (const row of deliveries) {
        had.set(row.subscription_id, (had.get(row.subscription_id) ?? 0) + 1)
      }
      await query('delete from patchbay.delivery_queue where lease_token is not null')
    }
    return [...had.values()]
  }

  test('gives the lanes with the highest ids their turn, too', async () => {
    await query(
      'alter table patchbay.subscription_health alter column last_delivered_at set default now()',
    )
    try {
      expect(Math.min(...(await turns(3, 20, { slots: 4 })))).toBeGreaterThan(15)
    } finally {
      await query(
        'alter table patchbay.subscription_health alter column last_delivered_at drop default',
      )
    }
  })

  test('reaches every unproven lane, though the first would take the whole part each time', async () => {
    // In the order of their ids the first four would have all of these 400; by chance, one has none in ten million times.
    expect(Math.min(...(await turns(6, 100, { unprovenSlots: 4 })))).toBeGreaterThan(0)
  })

  test('keeps what is asked for by hand within the part of unproven lanes', async () => {
    await addDeliveries(database.pool, lane, 30)
    await query(`update patchbay.delivery_queue set trigger = 'test'`)
    expect((await claimAll(database, { unprovenSlots: 3 })).deliveries).toHaveLength(3)
  })

  test('lets a thousand tests that wait in one lane hold up no other', async () => {
    await limitTo(0.001)
    await addDeliveries(database.pool, lane, 1100)
    const other = await addLane(database.pool, lane.orgId)
    await addDeliveries(database.pool, other, 1)
    await query(`update patchbay.delivery_queue set trigger = 'test'`)
    await claimAll(database)
    const { deliveries } = await claimAll(database)
    const both = [...deliveries, ...(await claimAll(database)).deliveries]
    expect(
      await query(
        'select from patchbay.delivery_queue where subscription_id = $1 and lease_token is null',
        [other.subscriptionId],
      ),
    ).toEqual([])
    expect(both.length).toBeLessThanOrEqual(1)
  })
})
