import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addDeliveries, addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import { decodeCursor } from '../core/cursor.ts'
import { claimDue } from '../delivery/claim.ts'
import { type AttemptRecord, recordAttempts } from '../delivery/record.ts'
import { emit } from '../outbox/emit.ts'
import { fanOut } from '../outbox/relay.ts'
import { makeHistory } from './history.ts'
import type { DeliveryFilter } from './queries.ts'

const NONE: DeliveryFilter = {
  webhookId: null,
  integrationId: null,
  status: null,
  eventType: null,
  eventId: null,
  since: null,
  until: null,
}
const NO_EVENT_FILTER = { type: null, conversationId: null, since: null, until: null }
const ALL = { limit: 100, after: null }

let database: TestDatabase
let history: ReturnType<typeof makeHistory>
let orgId: string
let lane: TestLane
beforeAll(async () => {
  database = await openTestDatabase()
  history = makeHistory({ inOrg: database.inOrg, audit: () => Promise.resolve() })
})
beforeEach(async () => {
  await query('delete from patchbay.delivery_queue')
  orgId = await database.addOrg()
  lane = await addLane(database.pool, orgId)
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows

/** Claims everything that is ready and records one outcome for the given ones. */
async function settle(ids: readonly string[], more: Partial<AttemptRecord> = {}): Promise<void> {
  const leaseToken = randomUUID()
  const { deliveries } = await claimDue(database.pool, {
    slots: 1000,
    perLane: 1000,
    lanes: 100,
    afterLane: '00000000-0000-0000-0000-000000000000',
    busyLanes: [],
    lanesWithRoom: [],
    rooms: [],
    unprovenSlots: 1000,
    isProvenOnly: false,
    leaseMs: 30_000,
    leaseToken,
  })
  const records = deliveries
    .filter((row) => ids.includes(row.delivery_id))
    .map((row) => ({
      deliveryId: row.delivery_id,
      leaseToken,
      attempt: row.attempt,
      trigger: row.trigger,
      isInLine: false,
      outcome: 'failed' as const,
      next: 'final' as const,
      afterMs: 3_600_000,
      statusCode: 500,
      durationMs: 7,
      error: 'HTTP 500',
      snippet: 'no',
      ...more,
    }))
  expect(await recordAttempts(database.pool, records)).toEqual(new Set(ids))
  await query(
    'update patchbay.delivery_queue set ready = true, lease_token = null where lease_token = $1',
    [leaseToken],
  )
}

const DELIVERED = { outcome: 'delivered', statusCode: 200, error: null, snippet: 'ok' } as const
const idsOf = async (filter: Partial<DeliveryFilter>) => {
  const { deliveries } = await history.listDeliveries(orgId, { ...NONE, ...filter }, ALL)
  return deliveries.map(({ id }) => id)
}
const queueRow = async (id: string) =>
  (
    await query(
      `select ready, trigger, attempt, step, extract(epoch from resume_at - now())::float8 as resume_in_s
       from patchbay.delivery_queue where id = $1`,
      [id],
    )
  )[0]

describe('a list of deliveries', () => {
  test('is narrowed by subscription and by integration', async () => {
    const other = await addLane(database.pool, orgId)
    const [here = ''] = await addDeliveries(database.pool, lane)
    const [there = ''] = await addDeliveries(database.pool, other)
    await settle([there], DELIVERED)
    expect(await idsOf({ webhookId: lane.subscriptionId })).toEqual([here])
    expect(await idsOf({ webhookId: other.subscriptionId })).toEqual([there])
    expect(await idsOf({ integrationId: lane.integrationId })).toEqual([here])
    expect(await idsOf({ integrationId: other.integrationId })).toEqual([there])
    expect(
      await idsOf({ integrationId: lane.integrationId, webhookId: other.subscriptionId }),
    ).toEqual([])
  })

  test.each([
    ['delivered', DELIVERED],
    ['failed', {}],
    ['failed', { outcome: 'gone', statusCode: 410 }],
    ['failed', { outcome: 'blocked', statusCode: null }],
    ['failed', { outcome: 'throttled', statusCode: 429 }],
    ['expired', { outcome: 'expired', statusCode: null }],
  ] as const)('is narrowed to %s, which %j is', async (status, outcome) => {
    const [ended = '', owed = ''] = await addDeliveries(database.pool, lane, 2)
    await settle([ended], outcome)
    expect(await idsOf({ status })).toEqual([ended])
    expect(await idsOf({ status: 'owed' })).toEqual([owed])
    expect(await idsOf({ status: 'canceled' })).toEqual([])
    expect(await history.getDelivery(orgId, ended)).toMatchObject({ delivery: { status } })
  })

  test('is narrowed by event and by event type', async () => {
    const eventId = await emit(database.pool, { orgId, type: 'some.type', data: {} })
    await fanOut(database.pool, 100)
    await addDeliveries(database.pool, lane)
    const [wanted] = await idsOf({ eventId })
    expect(await idsOf({ eventType: 'some.type' })).toEqual([wanted])
    expect(await idsOf({ eventType: 'some' })).toEqual([])
    expect(await idsOf({})).toHaveLength(2)
    await settle([wanted ?? ''], DELIVERED)
    expect(await idsOf({ eventId })).toEqual([wanted])
    expect(await idsOf({ eventType: 'some.type' })).toEqual([wanted])
  })

  test('is narrowed by time, the beginning within and the end without', async () => {
    const [id = ''] = await addDeliveries(database.pool, lane)
    const { delivery } = await history.getDelivery(orgId, id)
    const at = new Date(delivery.createdAt)
    const later = new Date(at.getTime() + 1)
    expect(await idsOf({ since: at, until: later })).toEqual([id])
    expect(await idsOf({ since: new Date('1969-07-20'), until: later })).toEqual([id])
    expect(await idsOf({ since: later })).toEqual([])
    expect(await idsOf({ until: at })).toEqual([])
    expect(await idsOf({ until: new Date('1969-07-20') })).toEqual([])
    await settle([id], DELIVERED)
    expect(await idsOf({ since: at, until: later })).toEqual([id])
    expect(await idsOf({ until: at })).toEqual([])
  })

  test('shows ready, waiting, leased and final ones once, newest first, over all pages', async () => {
    const other = await addLane(database.pool, orgId)
    const ids = [
      ...(await addDeliveries(database.pool, lane, 12)),
      ...(await addDeliveries(database.pool, other, 12)),
    ].toSorted()
    await settle(
      ids.filter((_, n) => n % 4 === 0),
      DELIVERED,
    )
    await settle(
      ids.filter((_, n) => n % 4 === 1),
      { next: 'retry' },
    )
    await query(
      `update patchbay.delivery_queue set ready = false, lease_token = $1, due_at = now() + interval '30 seconds' where id = any ($2)`,
      [randomUUID(), ids.filter((_, n) => n % 4 === 2)],
    )
    const seen: string[] = []
    let after: string | null = null
    do {
      const page = await history.listDeliveries(orgId, NONE, { limit: 5, after })
      seen.push(...page.deliveries.map(({ id }) => id))
      after = page.nextCursor === null ? null : decodeCursor(page.nextCursor)
    } while (after !== null)
    expect(seen).toEqual(ids.toReversed())
  })

  test('of another org has none of them', async () => {
    const [id = ''] = await addDeliveries(database.pool, lane)
    const stranger = await database.addOrg()
    const { deliveries } = await history.listDeliveries(stranger, NONE, ALL)
    expect(deliveries).toEqual([])
    await expect(history.getDelivery(stranger, id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(history.retry(stranger, id, actor('me'))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
  })
})

test('a delivery shows its tries, oldest first, and how it stands', async () => {
  const [id = ''] = await addDeliveries(database.pool, lane)
  await settle([id], { next: 'retry' })
  await query('update patchbay.delivery_queue set ready = true')
  await settle([id], DELIVERED)
  expect(await history.getDelivery(orgId, id)).toMatchObject({
    delivery: {
      id,
      webhookId: lane.subscriptionId,
      status: 'delivered',
      attempts: 2,
      nextAttemptAt: null,
      lastStatusCode: 200,
      finishedAt: expect.any(String),
    },
    event: { type: 'a.b', data: { n: 1 } },
    attempts: [
      { attempt: 1, outcome: 'failed', statusCode: 500, durationMs: 7, responseSnippet: 'no' },
      { attempt: 2, outcome: 'delivered', statusCode: 200, trigger: 'schedule' },
    ],
  })
})

describe('a retry', () => {
  test('of one that waits comes at once and moves nothing of its schedule', async () => {
    const [id = ''] = await addDeliveries(database.pool, lane)
    await settle([id], { next: 'retry' })
    const { nextAttemptAt } = (await history.getDelivery(orgId, id)).delivery
    expect(await history.retry(orgId, id, actor('me'))).toMatchObject({
      id,
      status: 'owed',
      attempts: 1,
    })
    expect(await queueRow(id)).toMatchObject({
      ready: true,
      trigger: 'manual',
      attempt: 2,
      step: 1,
    })
    await settle([id], { next: 'resume' })
    expect(await queueRow(id)).toMatchObject({ ready: false, trigger: 'schedule', step: 1 })
    const after = await history.getDelivery(orgId, id)
    expect(after.delivery.nextAttemptAt).toBe(nextAttemptAt)
    expect(after.attempts.map(({ trigger }) => trigger)).toEqual(['schedule', 'manual'])
  })

  test('asked for twice keeps the schedule of the first', async () => {
    const [id = ''] = await addDeliveries(database.pool, lane)
    await settle([id], { next: 'retry' })
    await history.retry(orgId, id, actor('me'))
    await history.retry(orgId, id, actor('me'))
    expect((await queueRow(id)).resume_in_s).toBeGreaterThan(3500)
  })

  test.each([
    ['failed', {}],
    ['delivered', DELIVERED],
  ])('of one that is %s is owed again for one try outside the schedule', async (_, outcome) => {
    const [id = ''] = await addDeliveries(database.pool, lane)
    await settle([id], outcome)
    expect(await history.retry(orgId, id, actor('me'))).toMatchObject({
      id,
      status: 'owed',
      finishedAt: null,
    })
    expect(await queueRow(id)).toMatchObject({
      ready: true,
      trigger: 'manual',
      attempt: 2,
      step: 0,
      resume_in_s: null,
    })
    await settle([id], DELIVERED)
    expect(await history.getDelivery(orgId, id)).toMatchObject({
      delivery: { status: 'delivered', attempts: 2 },
      attempts: [{ trigger: 'schedule' }, { attempt: 2, trigger: 'manual', outcome: 'delivered' }],
    })
    expect(await idsOf({})).toEqual([id])
  })

  test('of one that is on its way changes nothing', async () => {
    const [id = ''] = await addDeliveries(database.pool, lane)
    const token = randomUUID()
    await query('update patchbay.delivery_queue set ready = false, lease_token = $1', [token])
    await history.retry(orgId, id, actor('me'))
    expect(await queueRow(id)).toMatchObject({ ready: false, trigger: 'schedule' })
  })

  test.each([
    ['is disabled', 'update patchbay.webhook_subscriptions set is_active = false where id = $1'],
    ['is deleted', 'update patchbay.webhook_subscriptions set deleted_at = now() where id = $1'],
    [
      'has a disabled integration',
      'update patchbay.org_integrations set is_enabled = false where id = (select integration_id from patchbay.webhook_subscriptions where id = $1)',
    ],
  ])('is a conflict where the subscription %s, owed or final', async (_, statement) => {
    const [owed = '', ended = ''] = await addDeliveries(database.pool, lane, 2)
    await settle([ended])
    await query(statement, [lane.subscriptionId])
    for (const id of [owed, ended]) {
      await expect(history.retry(orgId, id, actor('me'))).rejects.toMatchObject({
        code: 'CONFLICT',
      })
    }
    expect(await queueRow(ended)).toBeUndefined()
  })

  test('is a conflict where the body is gone', async () => {
    const [id = ''] = await addDeliveries(database.pool, lane)
    await settle([id])
    await query('delete from patchbay.outbox_events where org_id = $1', [orgId])
    await expect(history.retry(orgId, id, actor('me'))).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(await queueRow(id)).toBeUndefined()
    expect(await history.getDelivery(orgId, id)).toMatchObject({ event: null })
  })
})

describe('events', () => {
  test('are narrowed by type, conversation and time, and stay in their org', async () => {
    const id = await emit(database.pool, { orgId, type: 'a.b', data: {}, conversationId: 'c' })
    const other = await emit(database.pool, { orgId, type: 'a.c', data: {} })
    const list = async (filter: object, org = orgId) => {
      const { events } = await history.listEvents(org, { ...NO_EVENT_FILTER, ...filter }, ALL)
      return events.map((event) => event.id)
    }
    expect(await list({})).toEqual([other, id])
    expect(await list({ type: 'a.b' })).toEqual([id])
    expect(await list({ conversationId: 'c' })).toEqual([id])
    expect(await list({ until: new Date(Date.now() - 60_000) })).toEqual([])
    expect(await list({ since: new Date(Date.now() + 60_000) })).toEqual([])
    const stranger = await database.addOrg()
    expect(await list({}, stranger)).toEqual([])
    await expect(history.getEvent(stranger, id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('show the deliveries that came of them', async () => {
    const id = await emit(database.pool, { orgId, type: 'a.b', data: {} })
    await addLane(database.pool, orgId)
    await fanOut(database.pool, 100)
    const { deliveries } = await history.getEvent(orgId, id)
    expect(deliveries).toHaveLength(2)
    expect(deliveries.every(({ eventId, status }) => eventId === id && status === 'owed')).toBe(
      true,
    )
  })
})
