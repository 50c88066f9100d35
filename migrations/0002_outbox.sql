-- The outbox: what the host's transactions write, and what the relay takes from it.

-- Insert-only. Partitioned by id: a UUIDv7 carries its time, so a day is a range of ids, the primary key stays unique
-- over all days, and a look-up by id touches one partition.
create table patchbay.outbox_events (
  id uuid primary key,
  org_id text not null,
  type text not null,
  conversation_id text,
  -- json, not jsonb: the text is kept as it was given, because its bytes are what gets signed.
  data json not null,
  occurred_at timestamptz not null,
  trace_parent text
) partition by range (id);

create index outbox_events_by_org on patchbay.outbox_events (org_id, id);

-- Rows that no daily partition takes (the worker that makes them was away) land here and are moved later: an emit
-- never fails because of our housekeeping.
create table patchbay.outbox_events_default partition of patchbay.outbox_events default;

-- What the relay has not fanned out yet. A row lives for milliseconds.
create table patchbay.outbox_pending (
  event_id uuid primary key,
  org_id text not null
) with (
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);

-- Idempotency of emit. Not partitioned: a unique index over partitions would have to contain the partition key.
create table patchbay.outbox_keys (
  org_id text not null,
  key text not null,
  event_id uuid not null,
  expires_at timestamptz not null,
  primary key (org_id, key)
);
create index outbox_keys_expiry on patchbay.outbox_keys (expires_at);

-- Event types are dot-separated segments; a subscription names a type, a prefix with `.*`, or `*`.
-- patterns_of('chat.turn.completed') = {*,chat.*,chat.turn.*,chat.turn.completed}: a subscription wants the event if it
-- names one of these.
create function patchbay.patterns_of(type text) returns text[]
  language plpgsql immutable strict parallel safe as $$
declare
  patterns text[] := array['*', type];
  dot integer := 0;
  step integer;
begin
  loop
    step := strpos(substr(type, dot + 1), '.');
    exit when step = 0;
    dot := dot + step;
    patterns := patterns || (left(type, dot) || '*');
  end loop;
  return patterns;
end
$$;

-- Who listens to what: a row for each pattern of each active subscription, so that the relay finds them by index however
-- many subscriptions an org has. Kept by a trigger, so it is true whoever writes a subscription.
create table patchbay.subscription_patterns (
  org_id text not null,
  pattern text not null,
  subscription_id uuid not null,
  primary key (org_id, pattern, subscription_id)
);

create function patchbay.sync_subscription_patterns() returns trigger
  language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    delete from patchbay.subscription_patterns as p
    where p.org_id = old.org_id and p.pattern = any (old.event_types) and p.subscription_id = old.id;
  end if;
  if tg_op <> 'DELETE' and new.is_active and new.deleted_at is null then
    insert into patchbay.subscription_patterns (org_id, pattern, subscription_id)
    select new.org_id, pattern, new.id from unnest(new.event_types) as pattern
    on conflict do nothing;
  end if;
  return null;
end
$$;

create trigger sync_subscription_patterns
  after insert or delete or update of event_types, is_active, deleted_at on patchbay.webhook_subscriptions
  for each row execute function patchbay.sync_subscription_patterns();

-- Records an event in the caller's transaction: it is delivered if and only if that transaction commits.
--
-- One call, no lock, no NOTIFY. Returns the event's id. With an idempotency key the first event of that key in that org
-- (within seven days) is the only one, and every further call returns its id.
-- Errors: PB001 type, PB002 data is not an object, PB003 data over 256 KiB, PB004 no such org, PB005 another argument.
-- It runs with its owner's rights, so a host's role needs `usage` on the schema and nothing more.
create function patchbay.emit_event(
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
  insert into patchbay.outbox_pending (event_id, org_id) values (event_id, emit_event.org_id);
  return event_id;
end
$$;
