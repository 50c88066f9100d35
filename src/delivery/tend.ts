import type { Queryable } from '../db/pool.ts'

/**
 * Makes ready what has come due: retries, and leases that ran out. A lease runs out when its worker died or was frozen;
 * that costs the endpoint nothing and the log says it.
 */
const PROMOTE = `
with due as materialized (
  select q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.trigger, q.lease_token
  from patchbay.delivery_queue as q
  where not q.ready and q.due_at <= coalesce($2::timestamptz, now())
  order by q.due_at
  limit $1
  for update skip locked
),
expired as (
  insert into patchbay.webhook_delivery_log
    (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, error, trigger)
  select id, org_id, subscription_id, event_id, attempt, 'interrupted', false,
    'the worker that held this delivery went away before it recorded an outcome', trigger
  from due
  where lease_token is not null
)
update patchbay.delivery_queue as q
set ready = true, lease_token = null
where q.id = any (array(select id from due))
returning q.id`

/** @param now null: the database's clock */
export async function promoteDue(db: Queryable, limit: number, now: Date | null = null) {
  const { rows } = await db.query({ name: 'promote_due', text: PROMOTE, values: [limit, now] })
  return rows.length
}

/**
 * Moves lanes on that nobody's claim moves: a lane whose circuit may be probed gets one delivery ready for it, and a lane
 * that goes on (its circuit closed, its subscription enabled) lets out what was held: 25 at first, then twice as many each
 * quarter of a second, 500 at most, so 2,000 a second.
 *
 * A lane that stopped again meanwhile is left; what stops it ends by setting `is_resuming` anew.
 */
const TEND = `
with due as materialized (
  select h.subscription_id, h.open_until is not null as is_open, h.resume_step,
    coalesce(h.probe_at <= now(), false) as is_probe_due
  from patchbay.subscription_health as h
  where h.subscription_id = any (array(
    (select p.subscription_id from patchbay.subscription_health as p where p.probe_at <= now() order by p.probe_at limit 100)
    union all
    (
      select r.subscription_id from patchbay.subscription_health as r
      where r.is_resuming and r.resume_at <= now() order by r.resume_at limit 100
    )
  ))
  for update skip locked
),
live as materialized (
  select due.*
  from due
  where (
    select s.is_active and s.deleted_at is null and (
      select i.is_enabled and i.deleted_at is null from patchbay.org_integrations as i where i.id = s.integration_id
    )
    from patchbay.webhook_subscriptions as s
    where s.id = due.subscription_id
  )
),
picked as materialized (
  select live.subscription_id, q.id
  from live
  cross join lateral (
    select q.id
    from patchbay.delivery_queue as q
    where q.due_at = 'infinity' and not q.blocked
      and q.subscription_id >= live.subscription_id and q.subscription_id <= live.subscription_id
    order by q.subscription_id, q.id
    limit case when live.is_open then 1 else least(25 * 2 ^ least(live.resume_step, 10), 500) end
    for update skip locked
  ) as q
  where not live.is_open or live.is_probe_due
),
let_out as (
  update patchbay.delivery_queue as q
  set ready = true, due_at = now()
  where q.id = any (array(select id from picked))
),
moved as (
  update patchbay.subscription_health as h
  set
    -- Again in half a minute, should the one that was let out not come to be the probe; its claim moves this on.
    probe_at = case when not due.is_probe_due then h.probe_at
      when due.is_open and exists (select from picked where picked.subscription_id = due.subscription_id)
        then now() + interval '30 seconds' end,
    is_resuming = not due.is_open and exists (select from picked where picked.subscription_id = due.subscription_id),
    resume_at = now() + interval '250 ms',
    resume_step = due.resume_step + 1
  from due
  where h.subscription_id = due.subscription_id and h.subscription_id = any (array(select subscription_id from due))
)
select (select count(*) from picked)::int as let_out`

/** @returns how many deliveries it made ready */
export async function tendLanes(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ let_out: number }>({
    name: 'tend_lanes',
    text: TEND,
    values: [],
  })
  return rows[0]?.let_out ?? 0
}
