import type { Queryable } from '../db/pool.ts'

/** What one round of the relay did. */
export interface Relayed {
  readonly events: number
  readonly deliveries: number
}

/**
 * Takes what is pending, whoever committed it and in whatever order, and writes a delivery for each subscription that wants
 * it: all in one statement, so a crash leaves an event either pending or fanned out, never half.
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
wanted as (
  select e.org_id, s.id as subscription_id, e.id as event_id
  from taken
  join patchbay.outbox_events as e on e.id = taken.event_id
  join patchbay.webhook_subscriptions as s
    on s.org_id = e.org_id and s.is_active and s.deleted_at is null
    and s.event_types && patchbay.patterns_of(e.type)
  join patchbay.org_integrations as i
    on i.org_id = s.org_id and i.id = s.integration_id and i.is_enabled and i.deleted_at is null
  order by e.id
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
