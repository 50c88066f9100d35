-- breaking
-- A worker of before would post to a channel without its token, and what was asked in private to channels.
-- Apps, both ways: what an app says of an integration, the threads in which conversations live, and what came in.

alter table patchbay.org_integrations
  -- The app's own id of what it is installed in, and its name: a Slack workspace.
  add column external_id text,
  add column external_name text,
  -- Why nothing is sent or taken, where the app or its people ended it; null while it is enabled, or was disabled by hand.
  add column disconnected_reason text,
  -- Sealed JSON as in webhook_subscriptions.secrets: what signs requests to us.
  add column inbound_secrets bytea,
  -- Of an access token that has to be refreshed before; null: it does not end.
  add column token_expires_at timestamptz,
  -- Until when one process has the refresh to itself.
  add column refreshing_until timestamptz;

-- An app's request names its workspace, and nothing of ours: a workspace belongs to one integration of the installation.
create unique index org_integrations_external on patchbay.org_integrations (provider_key, external_id)
  where external_id is not null and deleted_at is null;
create index org_integrations_token on patchbay.org_integrations (token_expires_at)
  where token_expires_at is not null and is_enabled and deleted_at is null;

alter table patchbay.webhook_subscriptions
  -- The app refused it: a person has to mend it and enable it again.
  add column needs_attention boolean not null default false,
  -- None: it carries answers alone.
  drop constraint webhook_subscriptions_event_types_check,
  add constraint webhook_subscriptions_event_types_check check (cardinality(event_types) <= 100);

-- Of those that carry answers alone, one a channel.
create unique index webhook_subscriptions_answers on patchbay.webhook_subscriptions (org_id, integration_id, url)
  where cardinality(event_types) = 0 and deleted_at is null;

alter table patchbay.messages
  add column integration_id uuid,
  -- Who wrote it out there: {id, name}.
  add column external_user jsonb;

-- An install that somebody began and the app has not confirmed yet. Used once.
create table patchbay.app_installs (
  hash bytea primary key,
  org_id text not null references patchbay.orgs (id) on delete cascade,
  user_id text not null,
  -- Of the cookie of the browser that began it.
  browser_hash bytea not null,
  expires_at timestamptz not null
);

-- A conversation is one thread of a channel.
create table patchbay.app_threads (
  org_id text not null,
  integration_id uuid not null,
  channel text not null,
  conversation_id text not null,
  thread text not null,
  created_at timestamptz not null default now(),
  primary key (org_id, integration_id, channel, conversation_id),
  unique (org_id, integration_id, channel, thread),
  foreign key (org_id, integration_id) references patchbay.org_integrations (org_id, id) on delete cascade
);

-- What came in, once for each key of its sender, and what became of it.
--
--   waiting    a job will take it (or has it, until lease_until)
--   done       dealt with
--   failed     given up; last_error says why
create table patchbay.inbound_events (
  id uuid primary key default patchbay.new_id(),
  org_id text not null,
  integration_id uuid not null,
  key text not null check (length(key) between 1 and 300),
  state text not null default 'waiting' check (state in ('waiting', 'done', 'failed')),
  -- What there is to do, sealed; gone when it is done, because the conversation has what was said.
  payload bytea,
  tries smallint not null default 0,
  due_at timestamptz not null default now(),
  lease_token uuid,
  last_error text,
  conversation_id uuid,
  message_id uuid,
  answer_id uuid,
  created_at timestamptz not null default now(),
  unique (org_id, integration_id, key),
  foreign key (org_id, integration_id) references patchbay.org_integrations (org_id, id) on delete cascade
);
create index inbound_events_waiting on patchbay.inbound_events (due_at) where state = 'waiting';
create index inbound_events_by_age on patchbay.inbound_events (created_at);

select
  patchbay.close_table('app_installs', 'select, insert, delete'),
  patchbay.close_table('app_threads', 'select, insert, update, delete'),
  patchbay.close_table('inbound_events', 'select, insert, update');

-- What was asked in an app is answered where it was asked: its events are not offered to that integration's subscriptions, which
-- may post elsewhere what somebody asked for their eyes alone. Set for a transaction as `patchbay.except_for`.
alter table patchbay.outbox_events add column except_for uuid;

-- As before, with that.
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

  insert into patchbay.outbox_events (id, org_id, type, conversation_id, data, occurred_at, trace_parent, except_for)
  values (
    event_id, emit_event.org_id, emit_event.type, emit_event.conversation_id, emit_event.data,
    coalesce(emit_event.occurred_at, now()), emit_event.trace_parent,
    nullif(current_setting('patchbay.except_for', true), '')::uuid
  );
  return event_id;
end
$$;

-- An answer takes its place in an ordered lane, in the transaction of its turn.
do $$
begin
  execute format('grant usage on sequence patchbay.outbox_places to %I', patchbay.api_role());
end
$$;

-- The app refuses what we have, or its people ended it. What is owed is held until somebody connects it again. The health of its
-- lanes is locked first, as by everyone who changes a subscription.
create function patchbay.disconnect(org text, integration uuid, reason text, at_revision integer default null) returns boolean
  language plpgsql as $$
begin
  perform from patchbay.subscription_health as h
  where h.subscription_id = any (array(
    select s.id from patchbay.webhook_subscriptions as s where s.org_id = org and s.integration_id = integration
  ))
  order by h.subscription_id
  for no key update;
  update patchbay.org_integrations as i
  set is_enabled = false, disconnected_reason = reason, refreshing_until = null, revision = i.revision + 1, updated_at = now()
  where i.org_id = org and i.id = integration and i.is_enabled and i.deleted_at is null
    and (at_revision is null or i.revision = at_revision);
  return found;
end
$$;

-- A person has to do something: told once each time, whoever found out.
create function patchbay.tell_attention() returns trigger
  language plpgsql as $$
begin
  perform patchbay.emit_event(
    i.org_id, 'integration.needs_attention',
    json_build_object('integrationId', i.id, 'providerKey', i.provider_key, 'detail', told.detail)
  )
  from patchbay.org_integrations as i
  cross join lateral (
    select case when tg_table_name = 'org_integrations' then to_jsonb(new) ->> 'disconnected_reason'
      else to_jsonb(new) ->> 'disabled_reason' end
  ) as told (detail)
  where i.org_id = new.org_id and i.deleted_at is null and told.detail is not null
    and i.id = case when tg_table_name = 'org_integrations' then new.id else (to_jsonb(new) ->> 'integration_id')::uuid end;
  return null;
end
$$;
create trigger tell_attention
  after update of needs_attention on patchbay.webhook_subscriptions
  for each row when (new.needs_attention and not old.needs_attention)
  execute function patchbay.tell_attention();
create trigger tell_attention
  after update of disconnected_reason on patchbay.org_integrations
  for each row when (new.disconnected_reason is not null and old.disconnected_reason is null)
  execute function patchbay.tell_attention();

-- As before, and says why an integration is disconnected.
create or replace function patchbay.note_subscription_state() returns trigger
  language plpgsql as $$
begin
  insert into patchbay.subscription_states (subscription_id, org_id, event_types, is_live, reason)
  select s.id, s.org_id, s.event_types, s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null,
    case when s.deleted_at is not null then 'the subscription was deleted'
      when not s.is_active then coalesce(s.disabled_reason, 'the subscription is disabled')
      when i.deleted_at is not null then 'the integration was deleted'
      when not i.is_enabled then coalesce('the integration is disconnected: ' || i.disconnected_reason, 'the integration is disabled') end
  from patchbay.webhook_subscriptions as s
  join patchbay.org_integrations as i on i.id = s.integration_id
  where (tg_table_name = 'webhook_subscriptions' and s.id = new.id)
    or (tg_table_name = 'org_integrations' and i.id = new.id and i.org_id = new.org_id and s.org_id = new.org_id)
  on conflict do nothing;
  return null;
end
$$;
