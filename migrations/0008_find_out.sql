-- Why a subscription did or did not get an event; who changed what; and sending again what was missed.

-- When an event was recorded, to the microsecond: `new_id()` keeps the part of the millisecond in `rand_a` (RFC 9562 §6.2).
create function patchbay.id_moment(id uuid) returns timestamptz
  language sql immutable strict parallel safe as $$
    select to_timestamp(
      (('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint
        + ('x' || substr(id::text, 16, 3))::bit(12)::int / 4096.0) / 1000.0
    )
  $$;

-- What a subscription wanted, and whether anything could be sent to it, from `at` on. Kept by triggers.
create table patchbay.subscription_states (
  subscription_id uuid not null,
  at timestamptz not null default clock_timestamp(),
  org_id text not null,
  event_types text[] not null,
  is_live boolean not null,
  reason text,
  primary key (subscription_id, at)
);

insert into patchbay.subscription_states (subscription_id, at, org_id, event_types, is_live, reason)
select s.id, s.created_at, s.org_id, s.event_types, true, null
from patchbay.webhook_subscriptions as s;
insert into patchbay.subscription_states (subscription_id, at, org_id, event_types, is_live, reason)
select s.id, greatest(s.updated_at, i.updated_at), s.org_id, s.event_types, false,
  case when s.is_active then 'the integration is disabled' else coalesce(s.disabled_reason, 'the subscription is disabled') end
from patchbay.webhook_subscriptions as s
join patchbay.org_integrations as i on i.id = s.integration_id
where not (s.is_active and i.is_enabled and s.deleted_at is null and i.deleted_at is null)
on conflict (subscription_id, at) do update set is_live = excluded.is_live, reason = excluded.reason;

create function patchbay.note_subscription_state() returns trigger
  language plpgsql as $$
begin
  insert into patchbay.subscription_states (subscription_id, org_id, event_types, is_live, reason)
  select s.id, s.org_id, s.event_types, s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null,
    case when s.deleted_at is not null then 'the subscription was deleted'
      when not s.is_active then coalesce(s.disabled_reason, 'the subscription is disabled')
      when i.deleted_at is not null then 'the integration was deleted'
      when not i.is_enabled then 'the integration is disabled' end
  from patchbay.webhook_subscriptions as s
  join patchbay.org_integrations as i on i.id = s.integration_id
  where (tg_table_name = 'webhook_subscriptions' and s.id = new.id)
    or (tg_table_name = 'org_integrations' and i.id = new.id and i.org_id = new.org_id and s.org_id = new.org_id)
  on conflict do nothing;
  return null;
end
$$;
create trigger note_subscription_state
  after insert or update of event_types, is_active, deleted_at on patchbay.webhook_subscriptions
  for each row execute function patchbay.note_subscription_state();
create trigger note_subscription_state
  after update of is_enabled, deleted_at on patchbay.org_integrations
  for each row execute function patchbay.note_subscription_state();

create table patchbay.audit_log (
  id uuid primary key default patchbay.new_id(),
  org_id text not null,
  -- Who did it: a user or a key.
  principal_id text not null,
  -- noun.past: `webhook.created`, `webhook.secret_rotated`.
  action text not null,
  -- The id of what it was done to.
  target text not null,
  detail jsonb not null default '{}'
);
create index audit_log_by_org on patchbay.audit_log (org_id, id);

-- Sending again, in bulk: what matched is written down once, and each item leaves in the transaction that queues it. So
-- however often a worker dies in between, nothing is queued twice for one recovery.
create table patchbay.recoveries (
  id uuid primary key default patchbay.new_id(),
  org_id text not null,
  subscription_id uuid not null,
  since timestamptz not null,
  until timestamptz not null,
  statuses text[] not null,
  state text not null default 'running' check (state in ('running', 'done', 'canceled')),
  -- With `queued` and `skipped`, what became of them.
  matched integer not null,
  queued integer not null default 0,
  -- What could not be sent any more when its turn came: the body is gone, or it is owed again already.
  skipped integer not null default 0,
  requested_by text not null,
  -- Since when its share of the lane was not used.
  paced_from timestamptz not null default now(),
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index recoveries_by_subscription on patchbay.recoveries (org_id, subscription_id, id);
-- One at a time for a subscription.
create unique index recoveries_running on patchbay.recoveries (subscription_id) where state = 'running';

create table patchbay.recovery_items (
  recovery_id uuid not null references patchbay.recoveries (id) on delete cascade,
  event_id uuid not null,
  -- null: it was missed, so there is no delivery yet.
  delivery_id uuid,
  primary key (recovery_id, event_id)
);

-- For statistics over a window of time: rows are appended in the order of their time.
create index webhook_delivery_log_by_time on patchbay.webhook_delivery_log using brin (created_at);
