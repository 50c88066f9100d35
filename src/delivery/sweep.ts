import type { Queryable } from '../db/pool.ts'

/**
 * What should never be needed, and finds what every other way has missed (a transaction that rolled back at the wrong moment,
 * a person's own SQL): lanes that hold deliveries with nothing set to let them out. Walks the lanes that hold something by a
 * loose index scan.
 */
const HELD = `
with recursive lane as (
  (
    select q.subscription_id from patchbay.delivery_queue as q
    where q.due_at = 'infinity' and not q.blocked
    order by q.subscription_id
    limit 1
  )
  union all
  select next.subscription_id
  from lane
  cross join lateral (
    select q.subscription_id from patchbay.delivery_queue as q
    where q.due_at = 'infinity' and not q.blocked and q.subscription_id > lane.subscription_id
    order by q.subscription_id
    limit 1
  ) as next
)
update patchbay.subscription_health as h
set is_resuming = h.open_until is null, resume_at = now(), resume_step = 0,
  probe_at = case when h.open_until is not null then greatest(h.open_until, now()) end
where h.subscription_id = any (array(
  select f.subscription_id
  from patchbay.subscription_health as f
  where f.subscription_id = any (array(select subscription_id from lane)) and not f.is_resuming and f.probe_at is null
    and (
      select s.is_active and s.deleted_at is null and (
        select i.is_enabled and i.deleted_at is null from patchbay.org_integrations as i where i.id = s.integration_id
      )
      from patchbay.webhook_subscriptions as s
      where s.id = f.subscription_id
    )
  order by f.subscription_id
  for no key update skip locked
))`

/** The same for conversations of ordered lanes in which nothing is open and something is blocked. */
const BLOCKED = `
with recursive line as (
  (
    select q.subscription_id, q.ordering_key from patchbay.delivery_queue as q
    where q.blocked
    order by q.subscription_id, q.ordering_key
    limit 1
  )
  union all
  select next.subscription_id, next.ordering_key
  from line
  cross join lateral (
    select q.subscription_id, q.ordering_key from patchbay.delivery_queue as q
    where q.blocked and (q.subscription_id, q.ordering_key) > (line.subscription_id, line.ordering_key)
    order by q.subscription_id, q.ordering_key
    limit 1
  ) as next
),
stuck as (
  select array_agg(subscription_id) as subscriptions, array_agg(ordering_key) as keys
  from (
    select * from line
    where (
      select count(*) from (
        select from patchbay.delivery_queue as o
        where not o.blocked and o.subscription_id = line.subscription_id and o.ordering_key = line.ordering_key
        limit 1
      ) as open
    ) = 0
    limit 10000
  ) as s
)
select patchbay.open_next(subscriptions, keys) as opened from stuck where subscriptions is not null`

/** @returns how many lanes and conversations it moved on: more than none is worth a warning */
export async function sweep(db: Queryable): Promise<{ lanes: number; conversations: number }> {
  const held = await db.query({ name: 'sweep_held', text: HELD, values: [] })
  const blocked = await db.query<{ opened: number }>({
    name: 'sweep_blocked',
    text: BLOCKED,
    values: [],
  })
  return { lanes: held.rowCount ?? 0, conversations: blocked.rows[0]?.opened ?? 0 }
}
