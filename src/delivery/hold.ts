import type { Queryable } from '../db/pool.ts'

/**
 * Holds what is ready in lanes that nothing may be sent to now. The share locks make it one step with the check: who enables
 * the subscription or closes its circuit meanwhile comes before or after it, and then lets these rows out too.
 */
const HOLD = `
with lane as materialized (
  select s.id, s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null as is_live
  from patchbay.webhook_subscriptions as s
  join patchbay.org_integrations as i on i.id = s.integration_id
  join patchbay.subscription_health as h on h.subscription_id = s.id
  where s.id = any ($1::uuid[]) and h.subscription_id = any ($1)
    and i.id = any (array(select of.integration_id from patchbay.webhook_subscriptions as of where of.id = any ($1)))
    and (not (s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null) or h.open_until > clock_timestamp())
  for share skip locked
),
picked as materialized (
  select q.id
  from lane
  cross join lateral (
    select q.id
    from patchbay.delivery_queue as q
    where q.ready and q.subscription_id >= lane.id and q.subscription_id <= lane.id
      and (not lane.is_live or q.trigger not in ('manual', 'test'))
    order by q.subscription_id, q.id
    limit 500
    for update skip locked
  ) as q
)
update patchbay.delivery_queue as q
set ready = false, due_at = 'infinity'
where q.id = any (array(select id from picked))
returning q.id`

const CANCEL_DELETED = `
with canceled as (
  delete from patchbay.delivery_queue as q
  where q.id = any (array(
    select patchbay.owed_to(s.id) from patchbay.webhook_subscriptions as s
    where s.id = any ($1::uuid[]) and s.deleted_at is not null
  )) and q.lease_token is null
  returning q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.trigger
)
insert into patchbay.webhook_delivery_log
  (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, error, trigger)
select id, org_id, subscription_id, event_id, attempt, 'canceled', true, 'the subscription was deleted', trigger
from canceled`

/** An org that was deleted while one of its events was fanned out leaves rows that belong to nobody. */
const DROP_ORPHANS = `
delete from patchbay.delivery_queue as q
where q.id = any (array(
  select patchbay.owed_to(lane.id)
  from unnest($1::uuid[]) as lane (id)
  where not exists (select from patchbay.webhook_subscriptions as s where s.id = lane.id and s.id = any ($1))
))`

/** Holds, cancels or drops a part of what is ready in these lanes, whichever their state asks for. */
export async function holdLanes(db: Queryable, subscriptionIds: readonly string[]): Promise<void> {
  await db.query({ name: 'hold_lanes', text: HOLD, values: [subscriptionIds] })
  await db.query({ name: 'cancel_deleted', text: CANCEL_DELETED, values: [subscriptionIds] })
  await db.query({ name: 'drop_orphans', text: DROP_ORPHANS, values: [subscriptionIds] })
}
