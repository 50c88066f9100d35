import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { DELIVERED, settleReady } from '../../test/fixtures/attempts.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addDeliveries, addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import type { Recoverable } from '../core/recovery.ts'
import { emit } from '../outbox/emit.ts'
import { fanOut } from '../outbox/relay.ts'
import { makeLog } from '../telemetry/log.ts'
import { cancelDelivery } from './by-hand.ts'
import { makeRecover } from './recover.ts'
import { makePumpRecoveries, pumpRecovery } from './recovery-pump.ts'

let database: TestDatabase
let lane: TestLane
let recover: ReturnType<typeof makeRecover>
beforeAll(async () => {
  database = await openTestDatabase()
  recover = makeRecover({
    inOrg: database.inOrg,
    audit: () => Promise.resolve(),
    nowMs: Date.now,
    retentionDays: 30,
  })
})
beforeEach(async () => {
  await database.empty()
  lane = await addLane(database.pool, await database.addOrg(), ['a.*'])
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows
const emitOne = (type = 'a.b', conversationId?: string) =>
  emit(database.pool, { orgId: lane.orgId, type, data: {}, conversationId })
const request = (statuses: readonly Recoverable[], sinceMs = 3_600_000) => ({
  orgId: lane.orgId,
  integrationId: lane.integrationId,
  webhookId: lane.subscriptionId,
  since: new Date(Date.now() - sinceMs),
  until: null,
  statuses,
})
const setActive = (isActive: boolean) =>
  query('update patchbay.webhook_subscriptions set is_active = $1', [isActive])
const queueOf = () =>
  query(
    'select id, event_id, attempt, step, trigger, ready from patchbay.delivery_queue order by event_id',
  )
/** As if the share of a whole second had not been used. */
const pass = () => query(`update patchbay.recoveries set paced_from = now() - interval '1 second'`)

describe('what a window holds', () => {
  test('is what failed and was canceled, by its newest end, and not what was delivered or is owed', async () => {
    const [failed = '', canceled = '', delivered = ''] = await addDeliveries(database.pool, lane, 5)
    await query(`update patchbay.delivery_queue set event_id = patchbay.new_id()`)
    await query(
      `insert into patchbay.outbox_events (id, org_id, type, data, occurred_at, only_for)
       select event_id, org_id, 'a.b', '{}', now(), subscription_id from patchbay.delivery_queue`,
    )
    await settleReady(database, { next: 'final' }, { slots: 1 })
    await cancelDelivery(database.pool, lane.orgId, canceled)
    await settleReady(database, DELIVERED, { slots: 1 })
    await settleReady(database, { next: 'retry' }, { slots: 1 })
    expect(await recover.count(request(['failed']))).toBe(1)
    expect(await recover.count(request(['canceled']))).toBe(1)
    expect(await recover.count(request(['failed', 'canceled', 'missed']))).toBe(2)
    expect(await queueOf()).toHaveLength(2)
    const begun = await recover.begin(request(['failed', 'canceled']), actor('me'))
    expect(begun).toMatchObject({ state: 'running', matched: 2, queued: 0, skipped: 0 })
    await pass()
    expect(await pumpRecovery(database.pool, begun.id)).toBe(2)
    const again = (await queueOf()).filter((row) => row.trigger === 'recovery')
    expect(again).toMatchObject([
      { id: failed, attempt: 2, step: 0, ready: true },
      { id: canceled, attempt: 1, step: 0, ready: true },
    ])
    expect(again.map(({ id }) => id)).not.toContain(delivered)
    expect(await recover.get(lane.orgId, lane.subscriptionId, begun.id)).toMatchObject({
      state: 'done',
      queued: 2,
      finishedAt: expect.any(String),
    })
  })

  test('missed: events from before it existed, and from while it or its integration was disabled', async () => {
    await setActive(false)
    const whileDisabled = await emitOne()
    await fanOut(database.pool, 10)
    await setActive(true)
    await query('update patchbay.org_integrations set is_enabled = false')
    const whileAway = await emitOne()
    await emitOne('other.type')
    await fanOut(database.pool, 10)
    await query('update patchbay.org_integrations set is_enabled = true')
    await emitOne()
    await fanOut(database.pool, 10)
    const notRelayed = await emitOne()
    expect(await recover.count(request(['missed']))).toBe(2)
    const begun = await recover.begin(request(['missed']), actor('me'))
    await pass()
    await pumpRecovery(database.pool, begun.id)
    const recovered = (await queueOf()).filter((row) => row.trigger === 'recovery')
    expect(recovered.map((row) => row.event_id)).toEqual([whileDisabled, whileAway])
    expect(recovered.map((row) => row.event_id)).not.toContain(notRelayed)
    expect(await recover.count(request(['missed']))).toBe(0)

    const late = await addLane(database.pool, lane.orgId, ['a.*'])
    const ofLate = { ...request(['missed']), ...late, webhookId: late.subscriptionId }
    expect(await recover.count(ofLate)).toBe(3)
  })

  test('is not what it was not subscribed to at the time', async () => {
    await query(`update patchbay.webhook_subscriptions set event_types = '{x}'`)
    await emitOne()
    await fanOut(database.pool, 10)
    await query(`update patchbay.webhook_subscriptions set event_types = '{a.*}'`)
    expect(await recover.count(request(['missed']))).toBe(0)
  })
})

describe('a recovery', () => {
  async function missed(count: number, conversationId?: string): Promise<string[]> {
    await setActive(false)
    const ids: string[] = []
    for (let n = 0; n < count; n += 1) ids.push(await emitOne('a.b', conversationId))
    while ((await fanOut(database.pool, 100)).events > 0);
    await setActive(true)
    return ids
  }

  test('sends nothing twice, whatever workers pump at once and die in the middle', async () => {
    const ids = await missed(60)
    const begun = await recover.begin(request(['missed']), actor('me'))
    const client = await database.pool.connect()
    await client.query('begin')
    await pass()
    expect(await pumpRecovery(client, begun.id)).toBe(60)
    // The worker dies here: its transaction never ends.
    await client.query('rollback')
    client.release()
    expect(await queueOf()).toEqual([])
    await pass()
    await Promise.all([1, 2, 3].map(() => pumpRecovery(database.pool, begun.id)))
    await pumpRecovery(database.pool, begun.id)
    expect((await queueOf()).map((row) => row.event_id)).toEqual(ids)
    expect(await recover.get(lane.orgId, lane.subscriptionId, begun.id)).toMatchObject({
      state: 'done',
      matched: 60,
      queued: 60,
    })
  })

  test('adds a hundred to a lane at most, and half of the rate of a lane that has one', async () => {
    await missed(150)
    const begun = await recover.begin(request(['missed']), actor('me'))
    await pass()
    expect(await pumpRecovery(database.pool, begun.id)).toBe(100)
    await pass()
    expect(await pumpRecovery(database.pool, begun.id)).toBe(0)
    await query('delete from patchbay.delivery_queue')
    await query('update patchbay.webhook_subscriptions set rate_limit = 20')
    await pass()
    expect(await pumpRecovery(database.pool, begun.id)).toBe(10)
    await query('delete from patchbay.delivery_queue')
    await query('update patchbay.webhook_subscriptions set rate_limit = 0.5')
    await pass()
    expect(await pumpRecovery(database.pool, begun.id)).toBe(0)
    await query(`update patchbay.recoveries set paced_from = now() - interval '4 seconds'`)
    expect(await pumpRecovery(database.pool, begun.id)).toBe(1)
  })

  test('adds nothing while live deliveries wait in the lane', async () => {
    await missed(5)
    const begun = await recover.begin(request(['missed']), actor('me'))
    await addDeliveries(database.pool, lane, 1)
    await query(`update patchbay.delivery_queue set due_at = now() - interval '2 seconds'`)
    await pass()
    expect(await pumpRecovery(database.pool, begun.id)).toBe(0)
    await settleReady(database, DELIVERED)
    expect(await pumpRecovery(database.pool, begun.id)).toBe(5)
  })

  test('waits while the subscription is disabled or its circuit is open, and ends when it is deleted', async () => {
    await missed(5)
    const begun = await recover.begin(request(['missed']), actor('me'))
    await pass()
    await query(`update patchbay.subscription_health set open_until = now() + interval '1 minute'`)
    expect(await pumpRecovery(database.pool, begun.id)).toBe(0)
    await query('update patchbay.subscription_health set open_until = null')
    await setActive(false)
    expect(await pumpRecovery(database.pool, begun.id)).toBe(0)
    await query('update patchbay.webhook_subscriptions set deleted_at = now()')
    await pumpRecovery(database.pool, begun.id)
    expect(await recover.get(lane.orgId, lane.subscriptionId, begun.id)).toMatchObject({
      state: 'canceled',
      queued: 0,
    })
  })

  test('counts as skipped what can no longer be sent', async () => {
    const [gone = ''] = await missed(2)
    const begun = await recover.begin(request(['missed']), actor('me'))
    await query('delete from patchbay.outbox_events where id = $1', [gone])
    await pass()
    expect(await pumpRecovery(database.pool, begun.id)).toBe(1)
    expect(await recover.get(lane.orgId, lane.subscriptionId, begun.id)).toMatchObject({
      state: 'done',
      queued: 1,
      skipped: 1,
    })
  })

  test('keeps the order of an ordered lane', async () => {
    await query(`update patchbay.webhook_subscriptions set ordering = 'conversation'`)
    const ids = await missed(3, 'c')
    const begun = await recover.begin(request(['missed']), actor('me'))
    await pass()
    await pumpRecovery(database.pool, begun.id)
    const sent: string[] = []
    for (let n = 0; n < 3; n += 1) {
      const [row] = (await queueOf()).filter(({ ready }) => ready)
      sent.push(row.event_id)
      expect(await settleReady(database, DELIVERED)).toHaveLength(1)
    }
    expect(sent).toEqual(ids)
  })

  test('is one at a time for a subscription', async () => {
    await missed(1)
    await recover.begin(request(['missed']), actor('me'))
    await expect(recover.begin(request(['missed']), actor('me'))).rejects.toMatchObject({
      code: 'CONFLICT',
    })
  })

  test('that matches nothing is done at once', async () => {
    expect(await recover.begin(request(['failed']), actor('me'))).toMatchObject({
      state: 'done',
      matched: 0,
    })
  })

  test('is pumped until none is left', async () => {
    await missed(30)
    await recover.begin(request(['missed']), actor('me'))
    let wakes = 0
    const pump = makePumpRecoveries({
      db: database.pool,
      log: makeLog('silent'),
      wake: () => {
        wakes += 1
      },
    })
    await pump(new AbortController().signal)
    expect(await queueOf()).toHaveLength(30)
    expect(wakes).toBeGreaterThan(0)
  })

  test.each([
    ['a beginning in the future', { since: new Date(Date.now() + 60_000) }, 'since'],
    [
      'a beginning before the retention',
      { since: new Date(Date.now() - 31 * 86_400_000) },
      'since',
    ],
    ['an end in the future', { until: new Date(Date.now() + 60_000) }, 'until'],
    ['an end before its beginning', { until: new Date(Date.now() - 7_200_000) }, 'until'],
  ])('refuses %s', async (_, wrong, path) => {
    const asked = { ...request(['failed']), ...wrong }
    const refused = { code: 'INVALID_BODY', details: [{ path }] }
    await expect(recover.count(asked)).rejects.toMatchObject(refused)
    await expect(recover.begin(asked, actor('me'))).rejects.toMatchObject(refused)
  })

  test('of a subscription that is disabled is a conflict, of another org’s not found', async () => {
    await expect(
      recover.count({ ...request(['failed']), orgId: await database.addOrg() }),
    ).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await setActive(false)
    await expect(recover.begin(request(['failed']), actor('me'))).rejects.toMatchObject({
      code: 'CONFLICT',
    })
  })
})
