-- breaking
-- Lanes with health, rate and order. A worker from before would send past all three.

alter table patchbay.webhook_subscriptions
  add column rate_limit double precision check (rate_limit between 0.001 and 10000),
  add column ordering text not null default 'none' check (ordering in ('none', 'conversation'));

-- Health of a lane, and the clockwork of its circuit, its rate and its return. Every subscription has a row.
--
--   closed      open_until is null
--   open        open_until is ahead: what becomes ready is parked (held), until probe_at
--   half-open   open_until is past: one delivery goes as a probe, and its claim moves open_until on
--
-- A success closes it from wherever it stands, and `is_resuming` then lets out what was parked, step by step.
alter table patchbay.subscription_health
  add column last_error text,
  add column open_until timestamptz,
  add column probe_at timestamptz,
  add column probe_token uuid,
  add column failed_probes integer not null default 0,
  add column is_resuming boolean not null default false,
  add column resume_at timestamptz,
  add column resume_step integer not null default 0,
  -- The next moment in which a rate-limited lane may send; whoever claims takes moments from here.
  add column next_slot_at timestamptz;
create index subscription_health_probe on patchbay.subscription_health (probe_at) where probe_at is not null;
create index subscription_health_resume on patchbay.subscription_health (resume_at) where is_resuming;

insert into patchbay.subscription_health (subscription_id, org_id)
select s.id, s.org_id from patchbay.webhook_subscriptions as s
on conflict do nothing;

create function patchbay.add_subscription_health() returns trigger
  language plpgsql as $$
begin
  insert into patchbay.subscription_health (subscription_id, org_id) values (new.id, new.org_id) on conflict do nothing;
  return null;
end
$$;
create trigger add_subscription_health
  after insert on patchbay.webhook_subscriptions
  for each row execute function patchbay.add_subscription_health();

-- An event that is addressed to one subscription alone (a test) is not offered to the others.
alter table patchbay.outbox_events add column only_for uuid;

-- The order of commit. An id is made when an event is emitted, but its transaction may end long after another's; the place
-- is taken at the commit, so of two transactions that follow each other the first has the lower place.
create sequence patchbay.outbox_places;
alter table patchbay.outbox_pending
  drop constraint outbox_pending_pkey,
  add column place bigint not null default nextval('patchbay.outbox_places'),
  add primary key (place);
-- An event is pending once, also one whose emit was under way while this migration ran.
create unique index outbox_pending_event on patchbay.outbox_pending (event_id);

create function patchbay.place_event() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into patchbay.outbox_pending (event_id, org_id) values (new.id, new.org_id) on conflict (event_id) do nothing;
  return null;
end
$$;
create constraint trigger place_event
  after insert on patchbay.outbox_events
  deferrable initially deferred
  for each row when (new.only_for is null)
  execute function patchbay.place_event();

-- As before, but what is pending is written by the trigger above, when the transaction commits.
create or replace function patchbay.emit_event(
  org_id text,
  type text,
  data json,
  conversation_id text default null,
  idempotency_key text default null,
  occurred_at timestamptz default null,
  trace_parent text default null
) returns uuid
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  event_id uuid := patchbay.new_id();
  first_id uuid;
begin
  if emit_event.type is null or length(emit_event.type) > 128
    or emit_event.type !~ '^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$' then
    raise exception using errcode = 'PB001',
      message = format('type: %L is not an event type', left(emit_event.type, 140)),
      hint = 'Segments of letters, digits and _ joined by dots, 128 characters at most, like chat.turn.completed.';
  end if;
  if emit_event.data is null or json_typeof(emit_event.data) <> 'object' then
    raise exception using errcode = 'PB002',
      message = format('data: must be a JSON object, got %s', coalesce(json_typeof(emit_event.data), 'null'));
  end if;
  if octet_length(emit_event.data::text) > 262144 then
    raise exception using errcode = 'PB003',
      message = format('data: %s bytes is over the limit of 262144', octet_length(emit_event.data::text));
  end if;
  if length(emit_event.conversation_id) not between 1 and 256 then
    raise exception using errcode = 'PB005', message = 'conversation_id: must have 1 to 256 characters';
  end if;
  if length(emit_event.idempotency_key) not between 1 and 256 then
    raise exception using errcode = 'PB005', message = 'idempotency_key: must have 1 to 256 characters';
  end if;
  if length(emit_event.trace_parent) > 128 then
    raise exception using errcode = 'PB005', message = 'trace_parent: must have at most 128 characters';
  end if;
  if not isfinite(emit_event.occurred_at) then
    raise exception using errcode = 'PB005', message = 'occurred_at: must be a finite time';
  end if;
  -- A look, not a foreign key: a foreign key would lock the org's row in every emitting transaction.
  if not exists (select from patchbay.orgs as o where o.id = emit_event.org_id) then
    raise exception using errcode = 'PB004',
      message = format('org_id: there is no org %L', left(emit_event.org_id, 140));
  end if;

  if emit_event.idempotency_key is not null then
    -- Waits for another transaction that holds the same key, and takes the key over if that one rolls back.
    insert into patchbay.outbox_keys as k (org_id, key, event_id, expires_at)
    values (emit_event.org_id, emit_event.idempotency_key, event_id, now() + interval '7 days')
    on conflict on constraint outbox_keys_pkey do update
      set event_id = excluded.event_id, expires_at = excluded.expires_at
      where k.expires_at <= now();
    if not found then
      select k.event_id into strict first_id
      from patchbay.outbox_keys as k
      where k.org_id = emit_event.org_id and k.key = emit_event.idempotency_key;
      return first_id;
    end if;
  end if;

  insert into patchbay.outbox_events (id, org_id, type, conversation_id, data, occurred_at, trace_parent)
  values (
    event_id, emit_event.org_id, emit_event.type, emit_event.conversation_id, emit_event.data,
    coalesce(emit_event.occurred_at, now()), emit_event.trace_parent
  );
  return event_id;
end
$$;

-- What a subscription does is told by events of its own, whoever caused it: an API call, a worker, an operator's SQL.
create function patchbay.emit_subscription_event(type text, health patchbay.subscription_health, extra jsonb) returns void
  language sql volatile as $$
    select patchbay.emit_event(
      s.org_id, type,
      (jsonb_build_object('webhookId', s.id, 'integrationId', s.integration_id, 'url', s.url) || extra)::json
    )
    from patchbay.webhook_subscriptions as s
    join patchbay.orgs as o on o.id = s.org_id
    where s.id = health.subscription_id and s.deleted_at is null
  $$;

create function patchbay.tell_circuit() returns trigger
  language plpgsql as $$
begin
  if new.open_until is not null then
    perform patchbay.emit_subscription_event('webhook.subscription.failing', new, jsonb_build_object(
      'consecutiveFailures', new.consecutive_failures, 'failingSince', patchbay.iso_time(new.first_failure_at),
      'lastError', new.last_error));
  else
    perform patchbay.emit_subscription_event('webhook.subscription.recovered', new, jsonb_build_object(
      'failingSince', patchbay.iso_time(old.first_failure_at), 'recoveredAt', patchbay.iso_time(new.last_delivered_at)));
  end if;
  return null;
end
$$;

-- ISO 8601 in UTC, milliseconds: as times stand in JSON.
create function patchbay.iso_time(at timestamptz) returns text
  language sql stable strict parallel safe as $$
    select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
  $$;

create trigger tell_circuit
  after update of open_until on patchbay.subscription_health
  for each row when ((old.open_until is null) <> (new.open_until is null))
  execute function patchbay.tell_circuit();

create function patchbay.tell_disabled() returns trigger
  language plpgsql as $$
begin
  perform patchbay.emit_subscription_event('webhook.subscription.disabled', h, jsonb_build_object('reason', new.disabled_reason))
  from patchbay.subscription_health as h
  where h.subscription_id = new.id;
  return null;
end
$$;
create trigger tell_disabled
  after update of is_active on patchbay.webhook_subscriptions
  for each row when (old.is_active and not new.is_active and new.deleted_at is null)
  execute function patchbay.tell_disabled();

-- Who enables a subscription or its integration lets out what was held. A circuit that was open stays open, but is probed at
-- once; what else was counted against the endpoint starts anew.
create function patchbay.resume_lane() returns trigger
  language plpgsql as $$
begin
  update patchbay.subscription_health as h
  set
    is_resuming = h.open_until is null, resume_at = now(), resume_step = 0,
    consecutive_failures = case when h.open_until is null then 0 else h.consecutive_failures end,
    first_failure_at = case when h.open_until is null then null else now() end,
    last_error = case when h.open_until is null then null else h.last_error end,
    open_until = case when h.open_until is not null then now() end,
    probe_at = case when h.open_until is not null then now() end
  where h.subscription_id = any (array(
    select s.id
    from patchbay.webhook_subscriptions as s
    join patchbay.org_integrations as i on i.id = s.integration_id
    where s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null
      and (
        (tg_table_name = 'webhook_subscriptions' and s.id = new.id)
        or (tg_table_name = 'org_integrations' and s.org_id = new.org_id and s.integration_id = new.id)
      )
    order by s.id
  ));
  return null;
end
$$;
create trigger resume_lane
  after update of is_active on patchbay.webhook_subscriptions
  for each row when (new.is_active and not old.is_active)
  execute function patchbay.resume_lane();
create trigger resume_lane
  after update of is_enabled on patchbay.org_integrations
  for each row when (new.is_enabled and not old.is_enabled)
  execute function patchbay.resume_lane();

-- A rate that was changed holds from now on: the next free moment was reckoned by the old one.
create function patchbay.repace_lane() returns trigger
  language plpgsql as $$
begin
  update patchbay.subscription_health set next_slot_at = null where subscription_id = new.id;
  return null;
end
$$;
create trigger repace_lane
  after update of rate_limit on patchbay.webhook_subscriptions
  for each row when (old.rate_limit is distinct from new.rate_limit)
  execute function patchbay.repace_lane();

-- A delivery in an ordered lane: of each conversation one is open (ready, leased or waiting), the others are blocked behind it.
alter table patchbay.delivery_queue
  add column ordering_key text,
  add column place bigint,
  add column blocked boolean not null default false,
  -- Manual tries that were asked for while one was on its way.
  add column extra_tries smallint not null default 0,
  -- What asked for it before a person did, while it is tried by hand.
  add column resume_trigger text;

create index delivery_queue_blocked on patchbay.delivery_queue (subscription_id, ordering_key, place) where blocked;
create index delivery_queue_open on patchbay.delivery_queue (subscription_id, ordering_key)
  where ordering_key is not null and not blocked;
-- What is held: by a subscription that is disabled, or by a circuit that is open.
create index delivery_queue_held on patchbay.delivery_queue (subscription_id, id)
  where due_at = 'infinity' and not blocked;
-- What a person asked for goes through an open circuit.
create index delivery_queue_urgent on patchbay.delivery_queue (subscription_id, id)
  where ready and trigger in ('manual', 'test');
create index delivery_queue_recovering on patchbay.delivery_queue (subscription_id) where trigger = 'recovery';

-- Lets the next of each of these conversations go, if none of it is open.
--
-- Two transactions that touch one lane take turns by the lock, and each looks with a snapshot taken after it has the lock;
-- so the one that comes second sees what the first did, and nothing stays blocked behind a row that is gone. Lanes share 256
-- locks, because each lock of a transaction takes room in the server's lock table. This needs `read committed`.
create function patchbay.open_next(subscriptions uuid[], keys text[]) returns integer
  language plpgsql as $$
declare
  opened integer;
begin
  perform pg_advisory_xact_lock(hashtext('patchbay.order'), lane.lock)
  from (select distinct hashtext(s::text) & 255 as lock from unnest(subscriptions) as s order by 1) as lane;
  update patchbay.delivery_queue as q
  set blocked = false, ready = true, due_at = now()
  where q.id = any (array(
    select b.id
    from unnest(subscriptions, keys) as c (subscription_id, ordering_key)
    cross join lateral (
      select f.id
      from patchbay.delivery_queue as f
      where f.blocked and f.subscription_id = c.subscription_id and f.ordering_key = c.ordering_key
      order by f.place
      limit 1
    ) as first
    -- Who has it locked is about to delete it, and the deletion comes here again; if that rolls back, the sweep does.
    join patchbay.delivery_queue as b on b.id = first.id
    where not exists (
      select from patchbay.delivery_queue as o
      where not o.blocked and o.subscription_id = c.subscription_id and o.ordering_key = c.ordering_key
    )
    for update of b skip locked
  ));
  get diagnostics opened = row_count;
  return opened;
end
$$;

-- Whatever enters or leaves an ordered lane, the next of each conversation it touched is let go.
create function patchbay.advance_order() returns trigger
  language plpgsql as $$
declare
  subscriptions uuid[];
  keys text[];
begin
  select array_agg(c.subscription_id), array_agg(c.ordering_key) into subscriptions, keys
  from (select distinct subscription_id, ordering_key from changed where ordering_key is not null) as c;
  if subscriptions is not null then
    perform patchbay.open_next(subscriptions, keys);
  end if;
  return null;
end
$$;
create trigger advance_order_after_insert
  after insert on patchbay.delivery_queue
  referencing new table as changed
  for each statement execute function patchbay.advance_order();
create trigger advance_order_after_delete
  after delete on patchbay.delivery_queue
  referencing old table as changed
  for each statement execute function patchbay.advance_order();

-- As before, with what each owed delivery waits for, in words.
create or replace view patchbay.webhook_deliveries with (security_invoker = true) as
  select
    q.id as delivery_id, q.org_id, q.subscription_id, q.event_id, e.type as event_type, s.url,
    'owed' as status,
    case when q.ready then 'ready'
      when q.lease_token is not null then 'in flight'
      when q.blocked then 'blocked'
      when q.due_at = 'infinity' then 'held'
      else 'waiting' end as state,
    q.attempt - 1 as attempts,
    case when q.ready then now()
      when q.lease_token is null and q.due_at <> 'infinity' then q.due_at end as next_attempt_at,
    last.outcome as last_outcome, last.status_code as last_status_code, last.error as last_error,
    patchbay.id_time(q.id) as created_at,
    null::timestamptz as finished_at,
    case when q.ready then 'a worker'
      when q.lease_token is not null then 'the answer of the receiver'
      when q.blocked then 'the deliveries before it in its conversation, first of all ' || coalesce((
        select o.id from patchbay.delivery_queue as o
        where not o.blocked and o.subscription_id = q.subscription_id and o.ordering_key = q.ordering_key
        limit 1
      )::text, 'one that just ended')
      when q.due_at <> 'infinity' then 'its next try'
      when not s.is_active then 'the subscription, which is disabled: ' || coalesce(s.disabled_reason, 'no reason given')
      when not i.is_enabled then 'the integration, which is disabled'
      when h.open_until is not null then 'the circuit, which is open after ' || h.consecutive_failures
        || ' failures in a row: next probe at ' || coalesce(patchbay.iso_time(greatest(h.open_until, now())), 'once')
      else 'its turn, now that the lane goes on' end as waits_for
  from patchbay.delivery_queue as q
  left join patchbay.outbox_events as e on e.id = q.event_id
  left join patchbay.webhook_subscriptions as s on s.id = q.subscription_id
  left join patchbay.org_integrations as i on i.id = s.integration_id
  left join patchbay.subscription_health as h on h.subscription_id = q.subscription_id
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
    null, l.outcome, l.status_code, l.error, patchbay.id_time(l.delivery_id), l.created_at, null
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
