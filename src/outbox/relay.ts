import type { Queryable } from '../db/pool.ts'

/** What one round of the relay did. */
export interface Relayed {
  readonly events: number
  readonly deliveries: number
}

/**
 * Takes what is pending, whoever committed it and in whatever order, and writes a delivery for each subscription that wants
 * it: all in one statement, so a crash leaves an event either pending or fanned out, never half. Who listens is
 * found by index, pattern by pattern, so a subscription that does not want an event costs it nothing.
 *
 * Events are fanned out in the order of their commits, by one relay at a time: two of them could overtake each other. In an
 * ordered lane a delivery enters blocked, and a trigger lets the first of each conversation go.
 *
 * `offset 0` and `any (array(…))` keep the planner to look-ups by index: a limit that is a parameter is guessed as a tenth of
 * the table, and a plan that scans all of it looks cheap.
 */
const FAN_OUT = `
with relay as materialized (
  select pg_try_advisory_xact_lock(hashtext('patchbay.relay')) as is_mine
),
locked as materialized (
  select p.place
  from patchbay.outbox_pending as p
  where (select is_mine from relay)
  order by p.place
  limit $1
  for update skip locked
),
taken as materialized (
  delete from patchbay.outbox_pending as p
  where p.place = any (array(select place from locked))
  returning p.place, p.event_id
),
wanted as (
  select distinct e.org_id, listening.subscription_id, e.id as event_id, taken.place,
    case when enabled.ordering = 'conversation' then e.conversation_id end as ordering_key
  from taken
  cross join lateral (
    select o.id, o.org_id, o.type, o.conversation_id from patchbay.outbox_events as o where o.id = taken.event_id offset 0
  ) as e
  cross join lateral (
    select p.subscription_id
    from patchbay.subscription_patterns as p
    where p.org_id = e.org_id and p.pattern = any (patchbay.patterns_of(e.type))
    offset 0
  ) as listening
  cross join lateral (
    select s.ordering
    from patchbay.webhook_subscriptions as s
    join patchbay.org_integrations as i on i.id = s.integration_id
    where s.id = listening.subscription_id and i.is_enabled and i.deleted_at is null
    offset 0
  ) as enabled
  order by taken.place
),
queued as (
  insert into patchbay.delivery_queue
    (org_id, subscription_id, event_id, ordering_key, place, blocked, ready, due_at)
  select org_id, subscription_id, event_id, ordering_key, case when ordering_key is not null then place end,
    ordering_key is not null, ordering_key is null,
    case when ordering_key is null then now() else 'infinity'::timestamptz end
  from wanted
  returning 1
)
select
  (select count(*) from taken)::int as events,
  (select count(*) from queued)::int as deliveries`

/** Fans out at most `limit` events. */
export async function fanOut(db: Queryable, limit: number): Promise<Relayed> {
  const { rows } = await db.query<{ events: number; deliveries: number }>({
    name: 'fan_out',
    text: FAN_OUT,
    values: [limit],
  })
  return rows[0] ?? { events: 0, deliveries: 0 }
}
