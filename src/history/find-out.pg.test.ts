import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { claimAll, DELIVERED, settleReady, tried } from '../../test/fixtures/attempts.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addDeliveries, addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import { recordAttempts } from '../delivery/record.ts'
import { emit } from '../outbox/emit.ts'
import { fanOut } from '../outbox/relay.ts'
import { cancelDelivery, retryDelivery } from './by-hand.ts'
import { type Explanation, makeExplain } from './explain.ts'
import { pingSubscription } from './ping.ts'
import { makeStats } from './stats.ts'

let database: TestDatabase
let orgId: string
let explain: ReturnType<typeof makeExplain>
beforeAll(async () => {
  database = await openTestDatabase()
  explain = makeExplain({ inOrg: database.inOrg })
})
beforeEach(async () => {
  await query('truncate patchbay.delivery_queue, patchbay.outbox_pending')
  orgId = await database.addOrg()
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows
const emitOne = (type = 'a.b') => emit(database.pool, { orgId, type, data: {} })
const relay = () => fanOut(database.pool, 100)

describe('why a subscription did or did not get an event', () => {
  async function asked(eventId: string, lane: TestLane): Promise<Explanation> {
    return explain(orgId, eventId, lane.subscriptionId)
  }

  test('owed: before it is fanned out, before the first try, and between tries', async () => {
    const lane = await addLane(database.pool, orgId)
    const id = await emitOne()
    expect(await asked(id, lane)).toMatchObject({
      verdict: 'owed',
      reason: 'It is recorded and not yet fanned out.',
    })
    await relay()
    expect(await asked(id, lane)).toMatchObject({
      verdict: 'owed',
      reason: expect.stringContaining('It waits for a worker. Not tried yet.'),
    })
    await settleReady(database, { afterMs: 60_000 })
    const waiting = await asked(id, lane)
    expect(waiting).toMatchObject({ verdict: 'owed', nextAttemptAt: expect.any(String) })
    expect(waiting.reason).toBe(
      `It waits for its next try. 1 try so far. The last one: HTTP 500. The next try is at ${waiting.nextAttemptAt}.`,
    )
  })

  test('delivered, failed, expired and canceled, each with when and why', async () => {
    const lane = await addLane(database.pool, orgId)
    const ends = [
      [DELIVERED, 'delivered', /^It was accepted at .*Z with HTTP 200, after 1 try\.$/],
      [
        { next: 'final' },
        'failed',
        /^It was given up at .*Z after 1 try\. The last one: HTTP 500\. Nothing more is tried unless /,
      ],
      [
        { outcome: 'expired', next: 'final', error: 'older than 5 s (maxAgeSeconds)' },
        'expired',
        /^It ended unsent at .*Z: older than 5 s \(maxAgeSeconds\)\.$/,
      ],
    ] as const
    for (const [end, verdict, reason] of ends) {
      const id = await emitOne()
      await relay()
      await settleReady(database, end)
      expect(await asked(id, lane)).toMatchObject({
        verdict,
        reason: expect.stringMatching(reason),
      })
    }
    const id = await emitOne()
    await relay()
    const [row] = await query('select id from patchbay.delivery_queue')
    await cancelDelivery(database.pool, orgId, row.id)
    expect(await asked(id, lane)).toMatchObject({
      verdict: 'canceled',
      deliveryId: row.id,
      reason: expect.stringMatching(/^It ended at .*Z: canceled through the API\.$/),
    })
  })

  test('not subscribed, then and there', async () => {
    const lane = await addLane(database.pool, orgId, ['x.*'])
    const id = await emitOne()
    await relay()
    await query(`update patchbay.webhook_subscriptions set event_types = '{*}' where id = $1`, [
      lane.subscriptionId,
    ])
    expect(await asked(id, lane)).toMatchObject({
      verdict: 'not_subscribed',
      reason: expect.stringMatching(/^It was subscribed to x\.\*, not to a\.b, since /),
    })
  })

  test.each([
    [
      'the subscription',
      `update patchbay.webhook_subscriptions set is_active = false, disabled_reason = 'HTTP 410' where id = $1`,
      'HTTP 410',
    ],
    [
      'the integration',
      'update patchbay.org_integrations set is_enabled = false where id = (select integration_id from patchbay.webhook_subscriptions where id = $1)',
      'the integration is disabled',
    ],
    [
      'the subscription, which was deleted',
      'update patchbay.webhook_subscriptions set is_active = false, deleted_at = now() where id = $1',
      'the subscription was deleted',
    ],
  ])('disabled then: %s', async (_, statement, why) => {
    const lane = await addLane(database.pool, orgId)
    await query(statement, [lane.subscriptionId])
    const id = await emitOne()
    await relay()
    expect(await asked(id, lane)).toMatchObject({
      verdict: 'disabled_then',
      reason: expect.stringContaining(why),
    })
  })

  test('disabled then, also where that came between the event and its relay', async () => {
    const lane = await addLane(database.pool, orgId)
    const id = await emitOne()
    await query('update patchbay.webhook_subscriptions set is_active = false where id = $1', [
      lane.subscriptionId,
    ])
    await relay()
    expect(await asked(id, lane)).toMatchObject({ verdict: 'disabled_then' })
  })

  test('created later', async () => {
    const id = await emitOne()
    await relay()
    const lane = await addLane(database.pool, orgId)
    expect(await asked(id, lane)).toMatchObject({ verdict: 'created_later' })
  })

  test('a test that was meant for another', async () => {
    const [lane, other] = [await addLane(database.pool, orgId), await addLane(database.pool, orgId)]
    const { integrationId, subscriptionId } = other
    const sent = await pingSubscription(database.pool, orgId, integrationId, subscriptionId)
    await relay()
    expect(await asked(sent.eventId, lane)).toMatchObject({ verdict: 'not_subscribed' })
    expect(await asked(sent.eventId, other)).toMatchObject({
      verdict: 'owed',
      deliveryId: sent.deliveryId,
    })
  })

  test('is nobody’s business in another org', async () => {
    const lane = await addLane(database.pool, orgId)
    const id = await emitOne()
    const stranger = await database.addOrg()
    const theirs = await addLane(database.pool, stranger)
    await expect(explain(stranger, id, theirs.subscriptionId)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    await expect(explain(orgId, id, theirs.subscriptionId)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    expect((await explain(orgId, id, lane.subscriptionId)).verdict).toBe('owed')
  })
})

describe('a manual try', () => {
  const attemptsOf = (id: string) =>
    query(
      'select attempt, trigger, outcome, is_final from patchbay.webhook_delivery_log where delivery_id = $1 order by created_at',
      [id],
    )

  test('that is asked for while one is on its way follows it, as often as it was asked', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    await settleReady(database, DELIVERED)
    await retryDelivery(database.pool, orgId, id)
    await retryDelivery(database.pool, orgId, id)
    await settleReady(database, DELIVERED)
    await query('update patchbay.delivery_queue set ready = true')
    await settleReady(database, DELIVERED)
    expect(await query('select from patchbay.delivery_queue')).toEqual([])
    expect(await attemptsOf(id)).toMatchObject([
      { attempt: 1, trigger: 'schedule' },
      { attempt: 2, trigger: 'manual', outcome: 'delivered' },
      { attempt: 3, trigger: 'manual', outcome: 'delivered' },
    ])
  })

  test('of one that is being sent leaves its schedule where it was', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    const lease = query(
      `update patchbay.delivery_queue set ready = false, lease_token = gen_random_uuid() returning lease_token`,
    )
    await lease
    await retryDelivery(database.pool, orgId, id)
    await query('update patchbay.delivery_queue set ready = true, lease_token = null')
    await settleReady(database, { next: 'retry', afterMs: 3_600_000 })
    const [after] = await query(
      `select trigger, attempt, step, extra_tries, due_at <= now() as is_due,
         extract(epoch from resume_at - now())::float8 as resume_s from patchbay.delivery_queue`,
    )
    expect(after).toMatchObject({ trigger: 'manual', attempt: 2, step: 1, extra_tries: 0 })
    expect(after.is_due).toBe(true)
    expect(after.resume_s).toBeGreaterThan(3590)
  })

  test('that comes while an outcome is being recorded loses neither', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    const { deliveries } = await claimAll(database)
    const person = await database.pool.connect()
    await person.query('begin')
    await retryDelivery(person, orgId, id)
    const recording = recordAttempts(
      database.pool,
      deliveries.map((row) => tried(row.delivery_id, row.lease_token, DELIVERED)),
    )
    await person.query('commit')
    person.release()
    expect(await recording).toEqual(new Set([id]))
    expect(await attemptsOf(id)).toMatchObject([{ attempt: 1, outcome: 'delivered' }])
    expect(await query('select attempt, trigger, ready from patchbay.delivery_queue')).toEqual([
      { attempt: 2, trigger: 'manual', ready: true },
    ])
  })

  test('of one that was about to be tried is that try, and spends nothing of its schedule', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    await retryDelivery(database.pool, orgId, id)
    await settleReady(database, { next: 'resume' })
    const [row] = await query('select trigger, step, attempt from patchbay.delivery_queue')
    expect(row).toEqual({ trigger: 'schedule', step: 0, attempt: 2 })
  })

  test.each([
    ['recovery', 'recovery', true],
    ['test', null, false],
  ])('of a %s that fails leaves it what it was', async (trigger, after, isOwed) => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    await query('update patchbay.delivery_queue set trigger = $1', [trigger])
    await retryDelivery(database.pool, orgId, id)
    const [claimed] = (await claimAll(database)).deliveries
    expect(claimed?.is_resumable).toBe(isOwed)
    await recordAttempts(database.pool, [
      tried(id, claimed?.lease_token ?? '', { next: isOwed ? 'resume' : 'final' }),
    ])
    const [row] = await query('select trigger from patchbay.delivery_queue')
    expect(row?.trigger ?? null).toBe(after)
  })

  test('is refused when ten are waiting already', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    for (let n = 0; n < 11; n += 1) await retryDelivery(database.pool, orgId, id)
    await expect(retryDelivery(database.pool, orgId, id)).rejects.toMatchObject({
      code: 'CONFLICT',
      message: '10 manual tries of it are waiting already.',
    })
  })

  test('of a canceled delivery is a conflict', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    expect(await cancelDelivery(database.pool, orgId, id)).toBe(true)
    expect(await cancelDelivery(database.pool, orgId, id)).toBe(false)
    await expect(retryDelivery(database.pool, orgId, id)).rejects.toMatchObject({
      code: 'CONFLICT',
      details: [{ path: 'deliveryId' }],
    })
  })
})

describe('canceling', () => {
  test('is a conflict for what has ended, and for what is being sent', async () => {
    const lane = await addLane(database.pool, orgId)
    const [ended = '', leased = ''] = await addDeliveries(database.pool, lane, 2)
    await settleReady(database, DELIVERED, { slots: 1 })
    await query(`update patchbay.delivery_queue set ready = false, lease_token = gen_random_uuid()`)
    for (const id of [ended, leased]) {
      await expect(cancelDelivery(database.pool, orgId, id)).rejects.toMatchObject({
        code: 'CONFLICT',
      })
    }
    const stranger = await database.addOrg()
    await expect(cancelDelivery(database.pool, stranger, leased)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
  })
})

describe('statistics', () => {
  const stats = (orgOf: string, lane: TestLane, since: Date | null = null) =>
    makeStats({ inOrg: database.inOrg, nowMs: Date.now, retentionDays: 30 })(
      orgOf,
      lane.subscriptionId,
      since,
    )

  test('equal the attempts: ends by delivery, tries by try, times of those that reached out', async () => {
    const lane = await addLane(database.pool, orgId)
    await addDeliveries(database.pool, lane, 6)
    await settleReady(
      database,
      { next: 'retry', afterMs: 3_600_000, durationMs: 100 },
      { slots: 2 },
    )
    await settleReady(database, { ...DELIVERED, durationMs: 10 }, { slots: 2 })
    await settleReady(database, { next: 'final', durationMs: 1000 }, { slots: 1 })
    await settleReady(database, { outcome: 'expired', next: 'final' }, { slots: 1 })
    const found = await stats(orgId, lane, new Date(Date.now() - 600_000))
    expect(found).toMatchObject({
      delivered: 2,
      failed: 1,
      expired: 1,
      canceled: 0,
      owed: 2,
      attempts: 5,
      failedAttempts: 3,
      p50Ms: 100,
      p99Ms: 1000,
      bucketSeconds: 60,
    })
    expect(found.buckets.length).toBeGreaterThanOrEqual(10)
    const sum = (key: 'delivered' | 'failed' | 'attempts' | 'failedAttempts') =>
      found.buckets.reduce((total, bucket) => total + bucket[key], 0)
    expect([sum('delivered'), sum('failed'), sum('attempts'), sum('failedAttempts')]).toEqual([
      2, 1, 5, 3,
    ])
  })

  test('count a delivery that was retried after its end by its newest end', async () => {
    const lane = await addLane(database.pool, orgId)
    const [id = ''] = await addDeliveries(database.pool, lane)
    await settleReady(database, { next: 'final' })
    await retryDelivery(database.pool, orgId, id)
    await settleReady(database, DELIVERED)
    expect(await stats(orgId, lane)).toMatchObject({ delivered: 1, failed: 0, attempts: 2 })
  })

  test('are empty and whole where nothing happened', async () => {
    const lane = await addLane(database.pool, orgId)
    expect(await stats(orgId, lane)).toMatchObject({ delivered: 0, owed: 0, p50Ms: null })
  })

  test('refuse a beginning in the future, and reach back to the retention at most', async () => {
    const lane = await addLane(database.pool, orgId)
    await expect(stats(orgId, lane, new Date(Date.now() + 60_000))).rejects.toMatchObject({
      code: 'INVALID_QUERY',
      details: [{ path: 'since' }],
    })
    const { since, buckets } = await stats(orgId, lane, new Date(0))
    expect(Date.now() - Date.parse(since)).toBeLessThan(30 * 86_400_000 + 10_000)
    expect(buckets.length).toBeLessThanOrEqual(32)
  })
})
