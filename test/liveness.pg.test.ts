import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClaimedRow } from '../src/delivery/claim.ts'
import { holdLanes } from '../src/delivery/hold.ts'
import { type AttemptRecord, recordAttempts } from '../src/delivery/record.ts'
import { sweep } from '../src/delivery/sweep.ts'
import { promoteDue, tendLanes } from '../src/delivery/tend.ts'
import { cancelDelivery, retryDelivery } from '../src/history/by-hand.ts'
import { fanOut } from '../src/outbox/relay.ts'
import { type Dice, makeDice } from './chaos/dice.ts'
import { claimAll, DELIVERED, tried } from './fixtures/attempts.ts'
import { openTestDatabase, type TestDatabase } from './fixtures/database.ts'
import { addLane, type TestLane } from './fixtures/lanes.ts'

/**
 * Whatever workers, people and dying processes do to the lanes, in whatever order and at once: when they leave off and the
 * endpoints answer, everything that is owed goes out by itself, in order where order was asked for, and nothing is left held
 * or blocked.
 */
const OPERATIONS = 250
const AT_ONCE = 4
const FAR = new Date(Date.now() + 365 * 86_400_000)

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows

interface World {
  readonly dice: Dice
  readonly lanes: readonly TestLane[]
  /** Claimed and not yet recorded, by workers that live. */
  readonly held: ClaimedRow[]
  /** Counts up with each beginning and each end of a transaction that emits. */
  now: number
}

async function anyDelivery(world: World): Promise<{ orgId: string; id: string } | null> {
  const lane = world.dice.pick(world.lanes)
  const [row] = await query(
    `select delivery_id from patchbay.webhook_deliveries where subscription_id = $1 order by random() limit 1`,
    [lane?.subscriptionId],
  )
  return row === undefined || lane === undefined ? null : { orgId: lane.orgId, id: row.delivery_id }
}

/** A person's request may be refused for what the delivery is at that moment. */
async function asked(request: Promise<unknown>): Promise<void> {
  await request.catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'CONFLICT')) throw error
  })
}

const OUTCOMES: readonly Partial<AttemptRecord>[] = [
  DELIVERED,
  DELIVERED,
  { outcome: 'failed', next: 'retry', afterMs: 3_600_000 },
  { outcome: 'failed', next: 'retry', afterMs: 0 },
  { outcome: 'failed', next: 'final' },
  { outcome: 'interrupted', next: 'free', afterMs: 0 },
  { outcome: 'gone', next: 'final', statusCode: 410 },
]

const DEEDS: Record<string, (world: World) => Promise<unknown>> = {
  emit: async (world) => {
    const began = ++world.now
    const emitted = await query(
      `select patchbay.emit_event($1, 'a.b', '{}', 'c' || $2 % 4) as id from generate_series(1, 1 + $2 % 5)`,
      [world.lanes[0]?.orgId, Math.floor(world.dice.next() * 100)],
    )
    const ended = ++world.now
    await query('insert into public.emitted select unnest($1::uuid[]), $2, $3', [
      emitted.map(({ id }) => id),
      began,
      ended,
    ])
  },
  relay: () => fanOut(database.pool, 7),
  work: async ({ held }) => {
    const { deliveries, stoppedLanes } = await claimAll(database, { slots: 6 })
    held.push(...deliveries)
    if (stoppedLanes.length > 0) await holdLanes(database.pool, stoppedLanes)
  },
  record: async ({ dice, held }) => {
    const rows = held.splice(0, 1 + Math.floor(dice.next() * 5))
    const outcome = dice.pick(OUTCOMES)
    const records = rows.map((row) =>
      tried(row.delivery_id, row.lease_token, {
        attempt: row.attempt,
        trigger: row.trigger,
        ...outcome,
      }),
    )
    if (records.length > 0) await recordAttempts(database.pool, records)
  },
  // Its leases run out, and what it comes back with is nobody's any more.
  die: async ({ held }) => {
    for (const row of held.splice(0, 3)) {
      await query(
        'update patchbay.delivery_queue set due_at = now() where id = $1 and lease_token = $2',
        [row.delivery_id, row.lease_token],
      )
    }
  },
  promote: () => promoteDue(database.pool, 20),
  tend: async ({ dice, lanes }) => {
    await query(
      `update patchbay.subscription_health set open_until = now(), probe_at = now()
       where probe_at > now() and subscription_id = $1`,
      [dice.pick(lanes)?.subscriptionId],
    )
    await tendLanes(database.pool)
  },
  disable: ({ dice, lanes }) =>
    query(
      'update patchbay.webhook_subscriptions set is_active = false, revision = revision + 1 where id = $1',
      [dice.pick(lanes)?.subscriptionId],
    ),
  enable: ({ dice, lanes }) =>
    query(
      'update patchbay.webhook_subscriptions set is_active = true, revision = revision + 1 where not is_active and id = $1',
      [dice.pick(lanes)?.subscriptionId],
    ),
  cancel: async (world) => {
    const found = await anyDelivery(world)
    if (found !== null) await asked(cancelDelivery(database.pool, found.orgId, found.id))
  },
  retry: async (world) => {
    const found = await anyDelivery(world)
    if (found !== null) await asked(retryDelivery(database.pool, found.orgId, found.id))
  },
  rollBack: async () => {
    const client = await database.pool.connect()
    await client.query('begin')
    await fanOut(client, 5)
    await client.query('rollback')
    client.release()
  },
}

/** How often each is done, of all. */
const DECK = ['emit', 'relay', 'relay', 'work', 'work', 'work', 'record', 'record', 'record']
  .concat(['promote', 'tend', 'tend', 'die', 'disable', 'enable', 'enable', 'enable'])
  .concat(['cancel', 'retry', 'retry', 'rollBack'])

/** The endpoints answer from now on, and all time passes that anything may wait for. */
async function settleAll(): Promise<void> {
  await query('update patchbay.webhook_subscriptions set is_active = true where not is_active')
  for (let round = 0; round < 400; round += 1) {
    await fanOut(database.pool, 1000)
    await query(
      `update patchbay.subscription_health set resume_at = now(),
         open_until = case when open_until is not null then least(open_until, now()) end,
         probe_at = case when probe_at is not null then least(probe_at, now()) end`,
    )
    await tendLanes(database.pool)
    await promoteDue(database.pool, 1000, FAR)
    await query(
      `update patchbay.delivery_queue set due_at = now() where not ready and due_at <> 'infinity'`,
    )
    const { deliveries, stoppedLanes } = await claimAll(database, { leaseToken: randomUUID() })
    await holdLanes(database.pool, stoppedLanes)
    const records = deliveries.map((row) =>
      tried(row.delivery_id, row.lease_token, { ...DELIVERED, trigger: row.trigger }),
    )
    await recordAttempts(database.pool, records)
    if ((await query('select from patchbay.delivery_queue limit 1')).length === 0) return
  }
  const left = await query(
    `select state, waits_for, count(*)::int as n from patchbay.webhook_deliveries where status = 'owed' group by 1, 2`,
  )
  expect(left).toEqual([])
}

/**
 * Deliveries of ordered lanes whose first end came before that of one that was emitted before them: earlier in the same
 * transaction, or in one that had ended when theirs began. Two that ran at the same time have no order of their own.
 */
async function outOfOrder(): Promise<unknown[]> {
  return query(
    `with ends as (
       select l.subscription_id, e.conversation_id, p.place, o.began, o.ended, min(l.created_at) as at
       from patchbay.webhook_delivery_log as l
       join patchbay.outbox_events as e on e.id = l.event_id
       join public.places as p on p.event_id = l.event_id
       join public.emitted as o on o.event_id = l.event_id
       join patchbay.webhook_subscriptions as s on s.id = l.subscription_id and s.ordering = 'conversation'
       where l.is_final and l.outcome <> 'canceled'
       group by 1, 2, 3, 4, 5
     )
     select a.place, b.place as overtook from ends as a
     join ends as b using (subscription_id, conversation_id)
     where a.at > b.at and (a.ended < b.began or (a.began = b.began and a.place < b.place))`,
  )
}

test.each([1, 2, 3, 4, 5, 6])('nothing gets stuck, whatever happens (seed %d)', async (seed) => {
  await database.empty()
  // The places leave with the pending rows.
  await query('drop table if exists public.places, public.emitted')
  await query('create table public.places (event_id uuid, place bigint)')
  await query('create table public.emitted (event_id uuid, began int, ended int)')
  await query(
    `create or replace function public.keep_place() returns trigger language plpgsql as
     $$ begin insert into public.places values (new.event_id, new.place); return null; end $$`,
  )
  await query(
    'create or replace trigger keep_place after insert on patchbay.outbox_pending for each row execute function public.keep_place()',
  )
  const orgId = await database.addOrg()
  const lanes = [await addLane(database.pool, orgId), await addLane(database.pool, orgId)]
  await query(`update patchbay.webhook_subscriptions set ordering = 'conversation' where id = $1`, [
    lanes[0]?.subscriptionId,
  ])
  const world: World = { dice: makeDice(seed), lanes, held: [], now: 0 }
  const operate = async () => {
    for (let n = 0; n < OPERATIONS / AT_ONCE; n += 1) {
      await DEEDS[world.dice.pick(DECK) ?? '']?.(world)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, operate))
  await settleAll()
  expect(await outOfOrder()).toEqual([])
  expect(await sweep(database.pool)).toEqual({ lanes: 0, conversations: 0 })
})
