-- What is pending says what its event is, so that the relay reads no event: finding who listens takes a few words of it, and
-- looking them up in some twenty partitions took most of a relay that has little to do. null: its event is gone.
--
-- Who emitted ends first: a commit that is under way in the `place_event` of before would wait for this table, and then enter an
-- event without its type, which is one that is gone.
lock table only patchbay.outbox_events in share mode;
alter table patchbay.outbox_pending
  add column type text,
  add column conversation_id text,
  add column except_for uuid;
update patchbay.outbox_pending as p
set type = e.type, conversation_id = e.conversation_id, except_for = e.except_for
from patchbay.outbox_events as e
where e.id = p.event_id;

-- As before, with that. An event enters once, so nothing looks for a second time.
create or replace function patchbay.place_event() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if coalesce(nullif(current_setting('patchbay.org_id', true), ''), new.org_id) <> new.org_id then
    raise exception using errcode = 'insufficient_privilege', message = 'an event of another org';
  end if;
  insert into patchbay.outbox_pending (event_id, org_id, type, conversation_id, except_for)
  values (new.id, new.org_id, new.type, new.conversation_id, new.except_for);
  return null;
end
$$;

-- Says what is wrong with an event that is.
create function patchbay.refuse_event(
  type text, data json, conversation_id text, idempotency_key text, occurred_at timestamptz, trace_parent text
) returns void
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if type is null or length(type) > 128 or type !~ '^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$' then
    raise exception using errcode = 'PB001',
      message = format('type: %L is not an event type', left(type, 140)),
      hint = 'Segments of letters, digits and _ joined by dots, 128 characters at most, like chat.turn.completed.';
  end if;
  if data is null or json_typeof(data) <> 'object' then
    raise exception using errcode = 'PB002',
      message = format('data: must be a JSON object, got %s', coalesce(json_typeof(data), 'null'));
  end if;
  if octet_length(data::text) > 262144 then
    raise exception using errcode = 'PB003',
      message = format('data: %s bytes is over the limit of 262144', octet_length(data::text));
  end if;
  if length(conversation_id) not between 1 and 256 then
    raise exception using errcode = 'PB005', message = 'conversation_id: must have 1 to 256 characters';
  end if;
  if length(idempotency_key) not between 1 and 256 then
    raise exception using errcode = 'PB005', message = 'idempotency_key: must have 1 to 256 characters';
  end if;
  if length(trace_parent) > 128 then
    raise exception using errcode = 'PB005', message = 'trace_parent: must have at most 128 characters';
  end if;
  if not isfinite(occurred_at) then
    raise exception using errcode = 'PB005', message = 'occurred_at: must be a finite time';
  end if;
end
$$;

-- As before, in two steps instead of ten: what is right is found to be so at once, and the org is looked up by what inserts.
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
  if (
    length(emit_event.type) <= 128 and emit_event.type ~ '^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$'
    and json_typeof(emit_event.data) = 'object' and octet_length(emit_event.data::text) <= 262144
    and coalesce(length(emit_event.conversation_id), 1) between 1 and 256
    and coalesce(length(emit_event.idempotency_key), 1) between 1 and 256
    and coalesce(length(emit_event.trace_parent), 0) <= 128
    and coalesce(isfinite(emit_event.occurred_at), true)
  ) is not true then
    perform patchbay.refuse_event(
      emit_event.type, emit_event.data, emit_event.conversation_id, emit_event.idempotency_key, emit_event.occurred_at,
      emit_event.trace_parent
    );
  end if;

  if emit_event.idempotency_key is not null then
    -- Waits for another transaction that holds the same key, and takes the key over if that one rolls back.
    insert into patchbay.outbox_keys as k (org_id, key, event_id, expires_at)
    select emit_event.org_id, emit_event.idempotency_key, event_id, now() + interval '7 days'
    from patchbay.orgs as o
    where o.id = emit_event.org_id
    on conflict on constraint outbox_keys_pkey do update
      set event_id = excluded.event_id, expires_at = excluded.expires_at
      where k.expires_at <= now();
    -- Where there is no org, what follows says so.
    if not found and exists (select from patchbay.orgs as o where o.id = emit_event.org_id) then
      select k.event_id into strict first_id
      from patchbay.outbox_keys as k
      where k.org_id = emit_event.org_id and k.key = emit_event.idempotency_key;
      return first_id;
    end if;
  end if;

  -- A look, not a foreign key: a foreign key would lock the org's row in every emitting transaction.
  insert into patchbay.outbox_events (id, org_id, type, conversation_id, data, occurred_at, trace_parent, except_for)
  select
    event_id, emit_event.org_id, emit_event.type, emit_event.conversation_id, emit_event.data,
    coalesce(emit_event.occurred_at, now()), emit_event.trace_parent,
    nullif(current_setting('patchbay.except_for', true), '')::uuid
  from patchbay.orgs as o
  where o.id = emit_event.org_id;
  if not found then
    raise exception using errcode = 'PB004',
      message = format('org_id: there is no org %L', left(emit_event.org_id, 140));
  end if;
  return event_id;
end
$$;
