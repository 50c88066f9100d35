-- What is owed, what was tried, and one view over both.

-- One row per delivery that is owed, gone when it is final.
--
--   ready                                 a worker may claim it
--   not ready, lease_token is not null    leased: a worker is at it until due_at
--   not ready, lease_token is null        waits: for its next try at due_at; held (due_at = infinity) while its
--                                         subscription is disabled
--
-- Every change of state touches few index entries: that is what the partial indexes are for.
create table patchbay.delivery_queue (
  id uuid primary key default patchbay.new_id(),
  org_id text not null,
  subscription_id uuid not null,
  event_id uuid not null,
  -- The number its next try will carry, from 1.
  attempt integer not null default 1,
  -- How many waits of the retry schedule are spent. A manual try spends none.
  step smallint not null default 0,
  trigger text not null default 'schedule',
  ready boolean not null default true,
  due_at timestamptz not null default now(),
  -- During a manual try of a delivery that was owed anyway: when the schedule goes on.
  resume_at timestamptz,
  lease_token uuid
) with (
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);

create index delivery_queue_ready on patchbay.delivery_queue (subscription_id, id) where ready;
create index delivery_queue_due on patchbay.delivery_queue (due_at) where not ready;
create index delivery_queue_waiting on patchbay.delivery_queue (subscription_id, id)
  where not ready and lease_token is null;

-- The ids of what is owed to one subscription, each part by its own partial index. A lease lasts seconds, so leased rows
-- are found among those due within minutes.
create function patchbay.owed_to(subscription uuid) returns setof uuid
  language sql stable strict as $$
    select q.id from patchbay.delivery_queue as q where q.ready and q.subscription_id = subscription
    union all
    select q.id from patchbay.delivery_queue as q
    where not q.ready and q.lease_token is null and q.subscription_id = subscription
    union all
    select q.id from patchbay.delivery_queue as q
    where not q.ready and q.due_at < now() + interval '5 minutes'
      and q.lease_token is not null and q.subscription_id = subscription
  $$;

-- One row per try, and one for each end that came without a try (canceled, expired). Append-only; partitioned by
-- delivery_id, so that the tries of one delivery stand together and leave together.
create table patchbay.webhook_delivery_log (
  delivery_id uuid not null,
  org_id text not null,
  subscription_id uuid not null,
  event_id uuid not null,
  attempt integer not null,
  outcome text not null check (outcome in
    ('delivered', 'throttled', 'gone', 'failed', 'blocked', 'interrupted', 'expired', 'canceled')),
  is_final boolean not null,
  status_code smallint,
  duration_ms integer,
  error text,
  response_snippet text,
  trigger text not null,
  created_at timestamptz not null default now()
) partition by range (delivery_id);

create index webhook_delivery_log_by_org on patchbay.webhook_delivery_log (org_id, delivery_id);
create index webhook_delivery_log_by_subscription on patchbay.webhook_delivery_log (subscription_id, delivery_id);
create index webhook_delivery_log_not_delivered on patchbay.webhook_delivery_log (org_id, delivery_id)
  where is_final and outcome <> 'delivered';
create index webhook_delivery_log_by_event on patchbay.webhook_delivery_log (event_id);

create table patchbay.webhook_delivery_log_default partition of patchbay.webhook_delivery_log default;

-- A delivery's whole life in one row. `attempts` counts the tries that reached out; an interrupted one is our doing and
-- does not count. For a delivery that was retried by hand after its end, the newest end is the one that holds.
create view patchbay.webhook_deliveries with (security_invoker = true) as
  select
    q.id as delivery_id, q.org_id, q.subscription_id, q.event_id, e.type as event_type, s.url,
    'owed' as status,
    case when q.ready then 'ready'
      when q.lease_token is not null then 'in flight'
      when q.due_at = 'infinity' then 'held'
      else 'waiting' end as state,
    q.attempt - 1 as attempts,
    case when q.ready then now()
      when q.lease_token is null and q.due_at <> 'infinity' then q.due_at end as next_attempt_at,
    last.outcome as last_outcome, last.status_code as last_status_code, last.error as last_error,
    patchbay.id_time(q.id) as created_at,
    null::timestamptz as finished_at
  from patchbay.delivery_queue as q
  left join patchbay.outbox_events as e on e.id = q.event_id
  left join patchbay.webhook_subscriptions as s on s.id = q.subscription_id
  left join lateral (
    select l.outcome, l.status_code, l.error
    from patchbay.webhook_delivery_log as l
    where l.org_id = q.org_id and l.delivery_id = q.id
    order by l.created_at desc
    limit 1
  ) as last on true
  union all
  select
    l.delivery_id, l.org_id, l.subscription_id, l.event_id, e.type, s.url,
    case when l.outcome in ('delivered', 'expired', 'canceled') then l.outcome else 'failed' end,
    'final',
    case when l.outcome in ('expired', 'canceled') then l.attempt - 1 else l.attempt end,
    null, l.outcome, l.status_code, l.error, patchbay.id_time(l.delivery_id), l.created_at
  from patchbay.webhook_delivery_log as l
  left join patchbay.outbox_events as e on e.id = l.event_id
  left join patchbay.webhook_subscriptions as s on s.id = l.subscription_id
  where l.is_final
    and not exists (select from patchbay.delivery_queue as q where q.id = l.delivery_id)
    and not exists (
      select from patchbay.webhook_delivery_log as later
      where later.org_id = l.org_id and later.delivery_id = l.delivery_id
        and later.is_final and later.created_at > l.created_at
    );
