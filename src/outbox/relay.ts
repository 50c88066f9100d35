import type { Queryable } from '../db/pool.ts'

/** What one round of the relay did. */
export interface Relayed {
  readonly events: number
  readonly deliveries: number
}

/**
 * Takes what is pending, whoever committed it and in whatever order, and writes a delivery for each subscription that wants
 * it: all in one statement, so a crash leaves an event either pending or fanned out, never half. Types are matched once for
 * all events of a type, by equality of patterns, so an org with thousands of subscriptions costs a hash join.
 */
const FAN_OUT = `
with locked as materialized (
  select p.event_id
  from patchbay.outbox_pending as p
  order by p.event_id
  limit $1
  for update skip locked
),
taken as (
  delete from patchbay.outbox_pending as p
  using locked
  where p.event_id = locked.event_id
  returning p.event_id
),
event as materialized (
  select e.id, e.org_id, e.type
  from taken
  join patchbay.outbox_events as e on e.id = taken.event_id
),
listening as materialized (
  select s.org_id, s.id as subscription_id, pattern
  from patchbay.webhook_subscriptions as s
  join patchbay.org_integrations as i
    on i.org_id = s.org_id and i.id = s.integration_id and i.is_enabled and i.deleted_at is null
  cross join unnest(s.event_types) as pattern
  where s.org_id = any (array(select distinct org_id from event)) and s.is_active and s.deleted_at is null
),
wanting as materialized (
  select distinct asked.org_id, asked.type, listening.subscription_id
  from (
    select kind.org_id, kind.type, unnest(patchbay.patterns_of(kind.type)) as pattern
    from (select distinct org_id, type from event) as kind
  ) as asked
  join listening using (org_id, pattern)
),
wanted as (
  select event.org_id, wanting.subscription_id, event.id as event_id
  from event
  join wanting using (org_id, type)
  order by event.id
),
queued as (
  insert into patchbay.delivery_queue (org_id, subscription_id, event_id)
  select org_id, subscription_id, event_id from wanted
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
