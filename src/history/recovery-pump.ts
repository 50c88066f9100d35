import { setTimeout as sleep } from 'node:timers/promises'
import type { Queryable } from '../db/pool.ts'
import type { Log } from '../telemetry/log.ts'

/** Deliveries a second that a recovery adds to a lane without a rate limit; with one it takes half of that. */
const PER_SECOND = 400
/** Of them in a lane at once, so that live deliveries never stand behind a long row of old ones. */
const MAX_IN_LANE = 100
const EVERY_MS = 250
/** Long enough to be useful, shorter than the life of the job that runs it. */
const MAX_RUN_MS = 50_000

/** Those that can move: on lanes where something goes out, or that are gone. */
const RUNNING = `
select r.id
from patchbay.recoveries as r
join patchbay.webhook_subscriptions as s on s.id = r.subscription_id
join patchbay.org_integrations as i on i.id = s.integration_id
join patchbay.subscription_health as h on h.subscription_id = s.id
where r.state = 'running'
  and (s.deleted_at is not null or i.deleted_at is not null or (s.is_active and i.is_enabled and h.open_until is null))
order by r.id
limit 1000`

/**
 * Moves a share of what a recovery has matched into the queue. An item leaves the list in the statement that queues it, so
 * whatever dies in between, nothing is queued twice. What can no longer be sent (its body is gone, it is owed again or
 * delivered meanwhile) is counted as skipped. While the lane is disabled, its circuit is open or live deliveries wait in it,
 * nothing moves.
 */
const PUMP = `
with recovery as materialized (
  select r.id, r.org_id, r.subscription_id, r.paced_from, s.rate_limit, s.ordering,
    s.deleted_at is not null or i.deleted_at is not null as is_deleted,
    s.is_active and i.is_enabled and h.open_until is null as is_live
  from patchbay.recoveries as r
  join patchbay.webhook_subscriptions as s on s.id = r.subscription_id
  join patchbay.org_integrations as i on i.id = s.integration_id
  join patchbay.subscription_health as h on h.subscription_id = s.id
  where r.id = $1 and r.state = 'running'
  for update of r skip locked
),
room as materialized (
  select r.id, greatest(0, floor(least(
    extract(epoch from now() - r.paced_from) * coalesce(r.rate_limit / 2, ${PER_SECOND}),
    greatest(1, least(r.rate_limit / 2, ${MAX_IN_LANE})) - (
      select count(*) from patchbay.delivery_queue as q
      where q.trigger = 'recovery' and q.subscription_id = r.subscription_id
        and (q.ready or q.lease_token is not null or q.blocked)
    )
  )))::int as size
  from recovery as r
  where r.is_live and not r.is_deleted
    -- Live deliveries that have waited for a second go first.
    and not exists (
      select from patchbay.delivery_queue as l
      where l.ready and l.subscription_id = r.subscription_id and l.trigger <> 'recovery'
        and l.due_at < now() - interval '1 second'
    )
),
taken as materialized (
  delete from patchbay.recovery_items as i
  using room
  where i.recovery_id = room.id and i.event_id = any (array(
    select n.event_id from patchbay.recovery_items as n
    where n.recovery_id = room.id
    order by n.event_id
    limit room.size
  ))
  returning i.event_id, i.delivery_id
),
sendable as materialized (
  select t.event_id, t.delivery_id, e.conversation_id, coalesce(last.next_attempt, 1) as attempt
  from taken as t
  join recovery as r on true
  join patchbay.outbox_events as e on e.id = t.event_id
  left join lateral (
    select l.attempt + (l.outcome not in ('expired', 'canceled'))::int as next_attempt, l.outcome
    from patchbay.webhook_delivery_log as l
    where l.event_id = t.event_id and l.subscription_id = r.subscription_id and l.is_final
    order by l.created_at desc
    limit 1
  ) as last on true
  where case when t.delivery_id is null then last.outcome is null else last.outcome is distinct from 'delivered' end
    and not exists (select from patchbay.delivery_queue as q where q.id = t.delivery_id)
    -- One that another recovery queued while this one was being written down.
    and not exists (
      select from patchbay.delivery_queue as q
      where q.trigger = 'recovery' and q.subscription_id = r.subscription_id and q.event_id = t.event_id
    )
  order by t.event_id
),
queued as (
  insert into patchbay.delivery_queue
    (id, org_id, subscription_id, event_id, attempt, trigger, ordering_key, place, blocked, ready, due_at)
  select coalesce(s.delivery_id, patchbay.new_id()), r.org_id, r.subscription_id, s.event_id, s.attempt, 'recovery',
    key.value, case when key.value is not null then nextval('patchbay.outbox_places') end,
    key.value is not null, key.value is null, case when key.value is null then now() else 'infinity'::timestamptz end
  from sendable as s
  cross join recovery as r
  cross join lateral (select case when r.ordering = 'conversation' then s.conversation_id end) as key (value)
  order by s.event_id
  on conflict (id) do nothing
  returning 1
),
counts as (
  select (select count(*) from taken)::int as taken, (select count(*) from queued)::int as queued
)
update patchbay.recoveries as r
set
  queued = r.queued + counts.queued,
  skipped = r.skipped + counts.taken - counts.queued,
  -- What was not used of its share stays, for a second at most.
  paced_from = greatest(
    r.paced_from + make_interval(secs => counts.taken / pace.per_second),
    now() - make_interval(secs => greatest(1, 1 / pace.per_second))
  ),
  (state, finished_at) = (
    select case when now_is.done then 'done' when recovery.is_deleted then 'canceled' else r.state end,
      case when now_is.done or recovery.is_deleted then now() end
    from (
      select not exists (
        select from patchbay.recovery_items as i
        where i.recovery_id = r.id and not exists (select from taken as t where t.event_id = i.event_id)
      )
    ) as now_is (done)
  )
from recovery, counts,
  lateral (select coalesce(recovery.rate_limit / 2, ${PER_SECOND}) as per_second) as pace
where r.id = recovery.id
returning counts.queued, r.state`

/** One step of one recovery. @returns how many deliveries it queued; null where another worker is at it */
export async function pumpRecovery(db: Queryable, id: string): Promise<number | null> {
  const { rows } = await db.query<{ queued: number }>({ text: PUMP, values: [id] })
  return rows[0]?.queued ?? null
}

interface PumpDeps {
  readonly db: Queryable
  readonly log: Log
  /** Something became ready. */
  readonly wake: () => void
}

/** Moves every running recovery on, step by step, until none is left, the signal, or nearly a minute. */
export function makePumpRecoveries({ db, log, wake }: PumpDeps) {
  return async function pumpRecoveries(signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + MAX_RUN_MS
    let total = 0
    while (!signal.aborted && performance.now() < deadline) {
      const { rows } = await db.query<{ id: string }>({ text: RUNNING })
      if (rows.length === 0) break
      let queued = 0
      for (const { id } of rows) queued += (await pumpRecovery(db, id)) ?? 0
      if (queued > 0) wake()
      total += queued
      await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined)
    }
    if (total > 0) log.info({ deliveries: total }, 'recovery.pumped')
  }
}
