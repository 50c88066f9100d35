import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { claimAll, DELIVERED, settleReady, tried } from '../../test/fixtures/attempts.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addDeliveries, addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import { fanOut } from '../outbox/relay.ts'
import { holdLanes } from './hold.ts'
import { recordAttempts } from './record.ts'
import { sweep } from './sweep.ts'
import { promoteDue, tendLanes } from './tend.ts'

let database: TestDatabase
let lane: TestLane
beforeAll(async () => {
  database = await openTestDatabase()
})
beforeEach(async () => {
  await database.empty()
  lane = await addLane(database.pool, await database.addOrg(), ['chat.*'])
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows
const health = async () =>
  (
    await query(
      `select *, extract(epoch from open_until - now())::float8 as open_s
       from patchbay.subscription_health where subscription_id = $1`,
      [lane.subscriptionId],
    )
  )[0]
const statesOf = async () =>
  (
    await query('select state from patchbay.webhook_deliveries where status = $1 order by 1', [
      'owed',
    ])
  ).map(({ state }) => state)
const told = async () =>
  (
    await query('select type, data from patchbay.outbox_events where only_for is null order by id')
  ).map(({ type, data }) => ({ type, data }))
const subscription = async () =>
  (await query('select is_active, disabled_reason from patchbay.webhook_subscriptions'))[0]

/** Seconds, without what the test itself takes. */
const tens = (seconds: number) => Math.round(seconds / 10) * 10

/** The open circuit’s time has come. */
const probeNow = () =>
  query('update patchbay.subscription_health set open_until = now(), probe_at = now()')

/** Ten failures in a row: the circuit is open, `owed` deliveries are held behind it, ten wait for their next try. */
async function openCircuit(owed = 3): Promise<string[]> {
  await addDeliveries(database.pool, lane, 10)
  await settleReady(database, { afterMs: 3_600_000 })
  const ids = await addDeliveries(database.pool, lane, owed)
  await settleClaim()
  return ids
}

/** A claim as the worker makes it: what may not be sent is held. */
async function settleClaim(leaseToken = randomUUID()) {
  const claimed = await claimAll(database, { leaseToken })
  await holdLanes(database.pool, claimed.stoppedLanes)
  return claimed.deliveries
}

describe('a circuit', () => {
  test('stays closed at nine failures in a row and opens at the tenth, told once', async () => {
    await addDeliveries(database.pool, lane, 9)
    await settleReady(database)
    expect(await health()).toMatchObject({ consecutive_failures: 9, open_until: null })
    await addDeliveries(database.pool, lane, 2)
    await settleReady(database)
    expect(await health()).toMatchObject({ consecutive_failures: 11, last_error: 'HTTP 500' })
    expect(tens((await health()).open_s)).toBe(30)
    expect(await told()).toEqual([
      {
        type: 'webhook.subscription.failing',
        data: {
          webhookId: lane.subscriptionId,
          integrationId: lane.integrationId,
          url: 'https://hooks.example.com/',
          consecutiveFailures: 11,
          failingSince: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
          lastError: 'HTTP 500',
        },
      },
    ])
  })

  test('is not opened by failures with a success among them, nor by ours', async () => {
    await addDeliveries(database.pool, lane, 9)
    await settleReady(database)
    await addDeliveries(database.pool, lane, 1)
    await settleReady(database, DELIVERED)
    await addDeliveries(database.pool, lane, 9)
    await settleReady(database)
    await addDeliveries(database.pool, lane, 20)
    await settleReady(database, { outcome: 'interrupted', next: 'free' })
    expect(await health()).toMatchObject({ consecutive_failures: 9, open_until: null })
    expect(await told()).toEqual([])
  })

  test('that is open holds what becomes ready, and nothing is claimed', async () => {
    await openCircuit(3)
    expect(await statesOf()).toEqual([
      ...Array.from({ length: 3 }, () => 'held'),
      ...Array.from({ length: 10 }, () => 'waiting'),
    ])
    expect(await settleClaim()).toEqual([])
    expect(await tendLanes(database.pool)).toBe(0)
    const [row] = await query(
      `select waits_for from patchbay.webhook_deliveries where state = 'held' limit 1`,
    )
    expect(row.waits_for).toMatch(
      /^the circuit, which is open after 10 failures in a row: next probe at \d{4}-/,
    )
  })

  test('lets what a person asked for through, while it is open', async () => {
    const [held] = await openCircuit(1)
    await query(
      `update patchbay.delivery_queue set ready = true, trigger = 'manual', due_at = now() where id = $1`,
      [held],
    )
    expect((await settleClaim()).map((row) => row.delivery_id)).toEqual([held])
  })

  test('lets one probe out when its time has come; each that fails doubles the time, a quarter of an hour at most', async () => {
    await openCircuit(5)
    const opens: number[] = []
    for (let n = 0; n < 7; n += 1) {
      await probeNow()
      expect(await tendLanes(database.pool)).toBe(1)
      expect(await tendLanes(database.pool)).toBe(0)
      expect(await settleReady(database, { afterMs: 0 })).toHaveLength(1)
      await promoteDue(database.pool, 100)
      await settleClaim()
      opens.push(tens((await health()).open_s))
    }
    expect(opens).toEqual([60, 120, 240, 480, 900, 900, 900])
    expect(await told()).toHaveLength(1)
  })

  test('has one probe under way at a time, also with two workers', async () => {
    await openCircuit(5)
    await probeNow()
    await query(
      `update patchbay.delivery_queue set ready = true, due_at = now() where due_at = 'infinity'`,
    )
    const both = await Promise.all([settleClaim(), settleClaim()])
    expect(both.flat()).toHaveLength(1)
    expect(await settleClaim()).toEqual([])
  })

  test('is probed again at once after a probe that was interrupted, and after one whose worker died', async () => {
    await openCircuit(5)
    await probeNow()
    await tendLanes(database.pool)
    await settleReady(database, { outcome: 'interrupted', next: 'free', afterMs: 0 })
    expect(await promoteDue(database.pool, 100)).toBe(1)
    expect(await settleClaim()).toHaveLength(1)
    await query(`update patchbay.delivery_queue set due_at = now() where lease_token is not null`)
    await probeNow()
    await promoteDue(database.pool, 100)
    expect(await settleClaim()).toHaveLength(1)
  })

  test('closes on a success, tells it, and lets out what was held step by step', async () => {
    await openCircuit(100)
    await probeNow()
    await tendLanes(database.pool)
    await settleReady(database, DELIVERED)
    expect(await health()).toMatchObject({
      consecutive_failures: 0,
      open_until: null,
      probe_at: null,
      first_failure_at: null,
      last_error: null,
      is_resuming: true,
    })
    expect((await told()).map(({ type }) => type)).toEqual([
      'webhook.subscription.failing',
      'webhook.subscription.recovered',
    ])
    const steps: number[] = []
    for (let n = 0; n < 4; n += 1) {
      steps.push(await tendLanes(database.pool))
      // Not before its time, however long this test takes.
      await query(
        `update patchbay.subscription_health set resume_at = resume_at + interval '1 hour'`,
      )
      expect(await tendLanes(database.pool)).toBe(0)
      await query('update patchbay.subscription_health set resume_at = now()')
    }
    expect(steps).toEqual([25, 50, 24, 0])
    expect(await health()).toMatchObject({ is_resuming: false })
  })

  test('ignores what a lost claim says', async () => {
    const [id = ''] = await addDeliveries(database.pool, lane)
    await claimAll(database)
    await recordAttempts(database.pool, [tried(id, randomUUID(), DELIVERED)])
    expect(await health()).toMatchObject({ consecutive_failures: 0, last_delivered_at: null })
  })

  test('is not moved by a test that fails', async () => {
    await addDeliveries(database.pool, lane, 12)
    await query(`update patchbay.delivery_queue set trigger = 'test'`)
    await settleReady(database, { next: 'final' })
    expect(await health()).toMatchObject({ consecutive_failures: 0, open_until: null })
  })

  test('that opens while its lane is let out step by step is probed when its time has come', async () => {
    await addDeliveries(database.pool, lane, 60)
    await query('update patchbay.webhook_subscriptions set is_active = false')
    await settleClaim()
    await query('update patchbay.webhook_subscriptions set is_active = true')
    expect(await tendLanes(database.pool)).toBe(25)
    await settleReady(database, { afterMs: 3_600_000 })
    await query('update patchbay.subscription_health set resume_at = now()')
    expect(await tendLanes(database.pool)).toBe(0)
    expect(await health()).toMatchObject({ is_resuming: false, probe_at: expect.any(Date) })
    await probeNow()
    expect(await tendLanes(database.pool)).toBe(1)
    expect(await settleReady(database, DELIVERED)).toHaveLength(1)
  })

  test('is probed again half a minute later where the one that was let out for it is canceled', async () => {
    await openCircuit(5)
    await probeNow()
    await tendLanes(database.pool)
    await query('delete from patchbay.delivery_queue where ready')
    await query(
      'update patchbay.subscription_health set probe_at = now() where probe_at < now() + $1::interval',
      ['31 seconds'],
    )
    expect(await tendLanes(database.pool)).toBe(1)
  })
})

describe(sweep, () => {
  test('finds a lane that holds deliveries and that nothing lets out, closed or open', async () => {
    await addDeliveries(database.pool, lane, 3)
    await query(`update patchbay.delivery_queue set ready = false, due_at = 'infinity'`)
    expect(await tendLanes(database.pool)).toBe(0)
    expect(await sweep(database.pool)).toEqual({ lanes: 1, conversations: 0 })
    expect(await sweep(database.pool)).toEqual({ lanes: 0, conversations: 0 })
    expect(await tendLanes(database.pool)).toBe(3)
    await query(`update patchbay.delivery_queue set ready = false, due_at = 'infinity'`)
    await query(
      'update patchbay.subscription_health set open_until = now(), probe_at = null, is_resuming = false',
    )
    expect(await sweep(database.pool)).toMatchObject({ lanes: 1 })
    expect(await tendLanes(database.pool)).toBe(1)
  })

  test('leaves a lane alone that is disabled', async () => {
    await addDeliveries(database.pool, lane, 1)
    await query('update patchbay.webhook_subscriptions set is_active = false')
    await settleClaim()
    expect(await sweep(database.pool)).toEqual({ lanes: 0, conversations: 0 })
  })
})

describe('five days', () => {
  const sinceDays = (days: number) =>
    query(
      `update patchbay.subscription_health set first_failure_at = now() - make_interval(days => $1)`,
      [days],
    )
  const probeFails = async () => {
    await probeNow()
    await tendLanes(database.pool)
    expect(await settleReady(database)).toHaveLength(1)
  }

  test('without one success disable the subscription, say why, tell it, and hold what is owed', async () => {
    await openCircuit(3)
    await sinceDays(6)
    await probeFails()
    expect(await subscription()).toEqual({
      is_active: false,
      disabled_reason:
        'Not one delivery succeeded in 5 days. Last error: HTTP 500. What is owed is held: enable the subscription to send it.',
    })
    expect((await told()).at(-1)).toMatchObject({
      type: 'webhook.subscription.disabled',
      data: { webhookId: lane.subscriptionId, reason: expect.stringContaining('5 days') },
    })
    expect((await statesOf()).filter((state) => state === 'held')).toHaveLength(2)
  })

  test('that are not over yet do not', async () => {
    await openCircuit(3)
    await sinceDays(4)
    await probeFails()
    expect(await subscription()).toMatchObject({ is_active: true })
  })

  test('with a success among them do not', async () => {
    await openCircuit(3)
    await sinceDays(6)
    await probeNow()
    await tendLanes(database.pool)
    await settleReady(database, DELIVERED)
    await addDeliveries(database.pool, lane, 20)
    await settleReady(database)
    expect(await subscription()).toMatchObject({ is_active: true })
  })
})

describe('enabling', () => {
  const enable = () => query('update patchbay.webhook_subscriptions set is_active = true')

  test('lets out what was held while it was disabled by 410, and the next failure does not disable it', async () => {
    await addDeliveries(database.pool, lane, 3)
    await settleReady(
      database,
      { outcome: 'gone', next: 'final', statusCode: 410, error: 'HTTP 410' },
      { slots: 1 },
    )
    expect(await subscription()).toMatchObject({ is_active: false })
    await settleClaim()
    expect(await statesOf()).toEqual(['held', 'held'])
    await enable()
    expect(await tendLanes(database.pool)).toBe(2)
    await settleReady(database)
    expect(await subscription()).toMatchObject({ is_active: true })
  })

  test('probes a circuit that was open at once, and the clock of the five days starts anew', async () => {
    await openCircuit(3)
    await query(
      `update patchbay.subscription_health set first_failure_at = now() - interval '6 days'`,
    )
    await query('update patchbay.webhook_subscriptions set is_active = false')
    await enable()
    expect(await tendLanes(database.pool)).toBe(1)
    await settleReady(database)
    expect(await subscription()).toMatchObject({ is_active: true })
    await probeNow()
    await tendLanes(database.pool)
    await settleReady(database, DELIVERED)
    expect((await told()).map(({ type }) => type)).toEqual([
      'webhook.subscription.failing',
      'webhook.subscription.disabled',
      'webhook.subscription.recovered',
    ])
  })

  test('the integration lets out what its subscriptions hold', async () => {
    await addDeliveries(database.pool, lane, 3)
    await query('update patchbay.org_integrations set is_enabled = false')
    await settleClaim()
    expect(await statesOf()).toEqual(['held', 'held', 'held'])
    await query('update patchbay.org_integrations set is_enabled = true')
    expect(await tendLanes(database.pool)).toBe(3)
  })
})

test('whoever subscribes to it is told of a failing subscription, through the outbox', async () => {
  const watcher = await addLane(database.pool, lane.orgId, ['webhook.subscription.*'])
  await openCircuit(0)
  await fanOut(database.pool, 100)
  const rows = await query(
    `select event_type from patchbay.webhook_deliveries where subscription_id = $1`,
    [watcher.subscriptionId],
  )
  expect(rows).toEqual([{ event_type: 'webhook.subscription.failing' }])
})

test('an org is told of the first hundred of its lanes that fail, and that they recovered, and of no more', async () => {
  for (let i = 0; i < 104; i += 1) await addLane(database.pool, lane.orgId)
  const told = async () =>
    (
      await query(
        'select type, count(*)::int as times from patchbay.outbox_events group by type order by type',
      )
    ).map((row) => [row.type, row.times])
  await query(`update patchbay.subscription_health set open_until = 'infinity'`)
  expect(await told()).toEqual([['webhook.subscription.failing', 100]])
  await query('update patchbay.subscription_health set open_until = null')
  expect(await told()).toContainEqual(['webhook.subscription.recovered', 105])
})
