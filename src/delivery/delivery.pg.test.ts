import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { claimAll, DELIVERED, tried } from '../../test/fixtures/attempts.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addDeliveries, addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import { type Claim, claimDue } from './claim.ts'
import { loadEvents } from './events.ts'
import { holdLanes } from './hold.ts'
import { loadLanes } from './lane-row.ts'
import { recordAttempts } from './record.ts'
import { promoteDue } from './tend.ts'

let database: TestDatabase
let orgId: string
beforeAll(async () => {
  database = await openTestDatabase()
})
beforeEach(async () => {
  await database.empty()
  orgId = await database.addOrg()
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows

const claim = (wanted: Partial<Claim> = {}) => claimAll(database, wanted)

/** One delivery of a new lane, claimed. */
async function claimOne(): Promise<{ lane: TestLane; id: string; leaseToken: string }> {
  const lane = await addLane(database.pool, orgId)
  const [id = ''] = await addDeliveries(database.pool, lane)
  const leaseToken = randomUUID()
  await claim({ leaseToken })
  return { lane, id, leaseToken }
}

const rowOf = async (id: string) =>
  (
    await query(
      `select ready, attempt, step, trigger, lease_token, resume_at, due_at = 'infinity' as is_held,
         case when isfinite(due_at) then extract(epoch from due_at - now())::float8 end as due_in_s
       from patchbay.delivery_queue where id = $1`,
      [id],
    )
  )[0]
const logOf = (id: string) =>
  query(
    `select attempt, outcome, is_final, status_code, duration_ms, error, response_snippet, trigger
     from patchbay.webhook_delivery_log where delivery_id = $1 order by created_at`,
    [id],
  )
const healthOf = async ({ subscriptionId }: TestLane) =>
  (
    await query('select * from patchbay.subscription_health where subscription_id = $1', [
      subscriptionId,
    ])
  )[0]

describe(claimDue, () => {
  test('hands out a delivery with its event, once', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id] = await addDeliveries(database.pool, lane)
    const leaseToken = randomUUID()
    const { deliveries } = await claim({ leaseToken })
    expect(deliveries).toMatchObject([
      {
        delivery_id: id,
        org_id: orgId,
        subscription_id: lane.subscriptionId,
        subscription_revision: 1,
        integration_revision: 1,
        lease_token: leaseToken,
        attempt: 1,
        step: 0,
        trigger: 'schedule',
        is_resumable: false,
      },
    ])
    const eventId = deliveries[0]?.event_id ?? ''
    expect(await loadEvents(database.pool, deliveries)).toEqual(
      new Map([
        [
          eventId,
          {
            id: eventId,
            orgId,
            type: 'a.b',
            conversationId: null,
            data: '{"n": 1.0}',
            occurredAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
          },
        ],
      ]),
    )
    expect(await claim()).toMatchObject({ deliveries: [], stoppedLanes: [], walked: 0 })
  })

  test('says whether a lane gave all that was asked of it, so that it may have more', async () => {
    const lane = await addLane(database.pool, orgId)
    await addDeliveries(database.pool, lane, 5)
    expect(await claim({ perLane: 2 })).toMatchObject({ isCut: true })
    const rooms = { lanesWithRoom: [lane.subscriptionId], rooms: [2] }
    expect(await claim(rooms)).toMatchObject({ isCut: true })
    const last = await claim({ perLane: 2 })
    expect(last.deliveries).toHaveLength(1)
    expect(last.isCut).toBe(false)
  })

  test('the events of deliveries are found whatever day they are of; one that is gone is missing', async () => {
    await query('select patchbay.ensure_partitions()')
    const days = ['2020-01-01', 'yesterday', 'today', 'tomorrow']
    const events = await query(
      `insert into patchbay.outbox_events (id, org_id, type, data, occurred_at)
       select overlay(patchbay.new_id()::text placing left(patchbay.id_floor(day::timestamptz)::text, 14) from 1)::uuid, $1, 'a', '{}', now()
       from unnest($2::text[]) as day
       returning id as event_id`,
      [orgId, days],
    )
    const wanted = [...events, ...events, { event_id: randomUUID() }]
    const found = await loadEvents(database.pool, wanted)
    expect([...found.keys()].toSorted()).toEqual(events.map((row) => row.event_id).toSorted())
    expect(await loadEvents(database.pool, [])).toEqual(new Map())
  })

  test('tells the age of an event, since it was recorded and not since it occurred, where a lane has a most', async () => {
    const anyAge = await addLane(database.pool, orgId)
    const young = await addLane(database.pool, orgId)
    await query('update patchbay.webhook_subscriptions set max_age_seconds = 100 where id = $1', [
      young.subscriptionId,
    ])
    await addDeliveries(database.pool, anyAge)
    await addDeliveries(database.pool, young)
    const { deliveries } = await claim()
    const ageOf = (lane: TestLane) =>
      deliveries.find((row) => row.subscription_id === lane.subscriptionId)?.age_s
    expect(ageOf(anyAge)).toBeNull()
    expect(ageOf(young)).toBeGreaterThanOrEqual(0)
    expect(ageOf(young)).toBeLessThan(60)
  })

  test('shares its slots: a lane of 5,000 leaves room for a lane of one', async () => {
    const big = await addLane(database.pool, orgId)
    const small = await addLane(database.pool, orgId)
    await addDeliveries(database.pool, big, 5000)
    const [only] = await addDeliveries(database.pool, small)
    const { deliveries } = await claim({ slots: 10 })
    expect(deliveries.length).toBeLessThanOrEqual(10)
    expect(deliveries.map((row) => row.delivery_id)).toContain(only)
    expect(deliveries.filter((row) => row.subscription_id === big.subscriptionId)).toHaveLength(5)
  })

  test('takes the oldest of a lane first, and no more than a lane may have', async () => {
    const lane = await addLane(database.pool, orgId)
    const ids = await addDeliveries(database.pool, lane, 20)
    const { deliveries } = await claim({ perLane: 4 })
    expect(deliveries.map((row) => row.delivery_id).toSorted()).toEqual(ids.slice(0, 4))
  })

  test('never hands one delivery to two workers', async () => {
    for (let n = 0; n < 3; n += 1) {
      await addDeliveries(database.pool, await addLane(database.pool, orgId), 50)
    }
    const claims = await Promise.all(Array.from({ length: 8 }, () => claim({ slots: 30 })))
    const ids = claims.flatMap(({ deliveries }) => deliveries.map((row) => row.delivery_id))
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.length).toBeGreaterThanOrEqual(30)
  })

  test('passes over lanes that are busy, and those before where it goes on', async () => {
    const lanes = [
      await addLane(database.pool, orgId),
      await addLane(database.pool, orgId),
      await addLane(database.pool, orgId),
    ]
    for (const lane of lanes) await addDeliveries(database.pool, lane)
    const [first = '', second = '', third = ''] = lanes
      .map((lane) => lane.subscriptionId)
      .toSorted()
    const { deliveries } = await claim({ afterLane: first, busyLanes: [second] })
    expect(deliveries.map((row) => row.subscription_id)).toEqual([third])
    expect((await claim({ lanes: 1 })).deliveries[0]?.subscription_id).toBe(first)
  })

  test('reports a lane that nothing may be sent to, and claims nothing of it', async () => {
    const lane = await addLane(database.pool, orgId)
    await addDeliveries(database.pool, lane)
    await query('update patchbay.org_integrations set is_enabled = false')
    expect(await claim()).toEqual({
      deliveries: [],
      stoppedLanes: [lane.subscriptionId],
      isCut: false,
      walked: 1,
      lastLane: lane.subscriptionId,
    })
  })

  test('a delivery whose event is gone is handed out without it', async () => {
    await addDeliveries(database.pool, await addLane(database.pool, orgId))
    await query('delete from patchbay.outbox_events')
    const { deliveries } = await claim()
    expect(deliveries).toHaveLength(1)
    expect(await loadEvents(database.pool, deliveries)).toEqual(new Map())
  })
})

describe(holdLanes, () => {
  test('holds what is ready while the subscription is disabled', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    await query('update patchbay.webhook_subscriptions set is_active = false')
    await holdLanes(database.pool, [lane.subscriptionId])
    expect(await rowOf(id)).toMatchObject({ ready: false, is_held: true, lease_token: null })
    expect(await claim()).toMatchObject({ deliveries: [], stoppedLanes: [], walked: 0 })
    expect(await promoteDue(database.pool, 10)).toBe(0)
  })

  test('leaves a lane alone that was enabled meanwhile', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    await holdLanes(database.pool, [lane.subscriptionId])
    expect(await rowOf(id)).toMatchObject({ ready: true })
  })

  test('cancels what is owed to a subscription that is deleted, and the log says it', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    await query('update patchbay.webhook_subscriptions set is_active = false, deleted_at = now()')
    await holdLanes(database.pool, [lane.subscriptionId])
    expect(await rowOf(id)).toBeUndefined()
    expect(await logOf(id)).toMatchObject([{ outcome: 'canceled', is_final: true }])
  })

  test('leaves what is being sent to its outcome, and cancels it after that at once', async () => {
    const { lane, id, leaseToken } = await claimOne()
    await query('update patchbay.webhook_subscriptions set is_active = false, deleted_at = now()')
    await holdLanes(database.pool, [lane.subscriptionId])
    expect(await rowOf(id)).toMatchObject({ lease_token: leaseToken })
    await recordAttempts(database.pool, [tried(id, leaseToken, { afterMs: 3_600_000 })])
    expect(await promoteDue(database.pool, 10)).toBe(1)
    await holdLanes(database.pool, (await claim()).stoppedLanes)
    expect(await logOf(id)).toMatchObject([{ outcome: 'failed' }, { outcome: 'canceled' }])
  })

  test('drops what is owed to a subscription whose row is gone with its org', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    await query('delete from patchbay.orgs where id = $1', [orgId])
    expect((await claim()).stoppedLanes).toEqual([lane.subscriptionId])
    await holdLanes(database.pool, [lane.subscriptionId])
    expect(await rowOf(id)).toBeUndefined()
    expect((await claim()).stoppedLanes).toEqual([])
  })
})

describe(promoteDue, () => {
  test('makes a retry ready when it is due, not before', async () => {
    const { id, leaseToken } = await claimOne()
    await recordAttempts(database.pool, [tried(id, leaseToken, { afterMs: 60_000 })])
    expect(await promoteDue(database.pool, 10)).toBe(0)
    expect(await promoteDue(database.pool, 10, new Date(Date.now() + 61_000))).toBe(1)
    expect(await rowOf(id)).toMatchObject({ ready: true, attempt: 2 })
    expect(await logOf(id)).toMatchObject([{ outcome: 'failed' }])
  })

  test('an expired lease is free again, costs no attempt, and the log says it', async () => {
    const { id } = await claimOne()
    expect(await promoteDue(database.pool, 10)).toBe(0)
    expect(await promoteDue(database.pool, 10, new Date(Date.now() + 31_000))).toBe(1)
    expect(await rowOf(id)).toMatchObject({ ready: true, attempt: 1, step: 0, lease_token: null })
    expect(await logOf(id)).toMatchObject([
      { attempt: 1, outcome: 'interrupted', is_final: false, error: expect.any(String) },
    ])
  })

  test('takes no more than its limit', async () => {
    const lane = await addLane(database.pool, orgId)
    await addDeliveries(database.pool, lane, 5)
    await claim()
    const later = new Date(Date.now() + 31_000)
    expect(await promoteDue(database.pool, 3, later)).toBe(3)
    expect(await promoteDue(database.pool, 3, later)).toBe(2)
  })
})

describe(recordAttempts, () => {
  test('a final outcome ends the delivery', async () => {
    const { lane, id, leaseToken } = await claimOne()
    const recorded = await recordAttempts(database.pool, [tried(id, leaseToken, DELIVERED)])
    expect(recorded).toEqual(new Set([id]))
    expect(await rowOf(id)).toBeUndefined()
    expect(await logOf(id)).toEqual([
      {
        attempt: 1,
        outcome: 'delivered',
        is_final: true,
        status_code: 200,
        duration_ms: 12,
        error: null,
        response_snippet: 'no',
        trigger: 'schedule',
      },
    ])
    expect(await healthOf(lane)).toMatchObject({
      consecutive_failures: 0,
      last_delivered_at: expect.any(Date),
    })
  })

  test.each([
    ['retry', { attempt: 2, step: 1 }],
    ['free', { attempt: 1, step: 0 }],
  ] as const)('%s lets it wait for its next try', async (next, expected) => {
    const { id, leaseToken } = await claimOne()
    await recordAttempts(database.pool, [tried(id, leaseToken, { next })])
    const row = await rowOf(id)
    expect(row).toMatchObject({ ...expected, ready: false, lease_token: null, is_held: false })
    expect(row.due_in_s).toBeGreaterThan(3)
    expect(row.due_in_s).toBeLessThanOrEqual(5)
  })

  test('resume hands a manual try back to the schedule where it stood', async () => {
    const { id, leaseToken } = await claimOne()
    await query(
      `update patchbay.delivery_queue set trigger = 'manual', step = 3, resume_at = now() + interval '1 hour'`,
    )
    await recordAttempts(database.pool, [
      tried(id, leaseToken, { next: 'resume', trigger: 'manual' }),
    ])
    const row = await rowOf(id)
    expect(row).toMatchObject({ trigger: 'schedule', step: 3, attempt: 2, resume_at: null })
    expect(row.due_in_s).toBeGreaterThan(3590)
  })

  test('a token that is no longer the row’s changes nothing', async () => {
    const { lane, id, leaseToken } = await claimOne()
    const other = await claimOne()
    const recorded = await recordAttempts(database.pool, [
      tried(id, randomUUID(), DELIVERED),
      tried(other.id, other.leaseToken, DELIVERED),
    ])
    expect(recorded).toEqual(new Set([other.id]))
    expect(await rowOf(id)).toMatchObject({ lease_token: leaseToken })
    expect(await logOf(id)).toEqual([])
    expect(await healthOf(lane)).toMatchObject({ last_delivered_at: null })
  })

  test('410 disables the subscription and says why', async () => {
    const { lane, id, leaseToken } = await claimOne()
    const gone = { outcome: 'gone', next: 'final', statusCode: 410 } as const
    await recordAttempts(database.pool, [tried(id, leaseToken, gone)])
    const rows = await query(
      'select is_active, disabled_reason, revision from patchbay.webhook_subscriptions where id = $1',
      [lane.subscriptionId],
    )
    expect(rows).toEqual([
      { is_active: false, disabled_reason: expect.stringContaining('410'), revision: 2 },
    ])
  })

  test('failures add up in the health until a delivery ends them; ours do not count', async () => {
    const lane = await addLane(database.pool, orgId)
    const [a = '', b = '', c = '', d = ''] = await addDeliveries(database.pool, lane, 4)
    const leaseToken = randomUUID()
    await claim({ leaseToken })
    await recordAttempts(database.pool, [tried(a, leaseToken), tried(b, leaseToken)])
    expect(await healthOf(lane)).toMatchObject({
      consecutive_failures: 2,
      first_failure_at: expect.any(Date),
      last_delivered_at: null,
    })
    await recordAttempts(database.pool, [
      tried(c, leaseToken, { outcome: 'interrupted', next: 'free' }),
    ])
    expect(await healthOf(lane)).toMatchObject({ consecutive_failures: 2 })
    await recordAttempts(database.pool, [tried(d, leaseToken, DELIVERED)])
    expect(await healthOf(lane)).toMatchObject({
      consecutive_failures: 0,
      first_failure_at: null,
      last_delivered_at: expect.any(Date),
      last_failed_at: expect.any(Date),
    })
  })
})

test('a lane is loaded with what a try needs', async () => {
  const { subscriptionId } = await addLane(database.pool, orgId)
  expect(await loadLanes(database.pool, [subscriptionId, randomUUID()])).toMatchObject([
    { subscription_id: subscriptionId, org_id: orgId, provider_key: 'generic-webhook' },
  ])
})
