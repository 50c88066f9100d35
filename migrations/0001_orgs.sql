-- Ids, organizations and what an organization has installed.

-- UUIDv7 (RFC 9562 §5.7) with the sub-millisecond part in rand_a, as Postgres 18 makes them. Servers before 18 get the
-- same from SQL. Every id in this schema comes from here, so ids sort by the time they were made.
do $$
begin
  if to_regprocedure('pg_catalog.uuidv7()') is not null then
    create function patchbay.new_id() returns uuid
      language sql volatile parallel safe as 'select pg_catalog.uuidv7()';
  else
    create function patchbay.new_id() returns uuid
      language sql volatile parallel safe as $body$
        select encode(
          overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send(us / 1000) from 3) || int2send((28672 + us % 1000 * 4096 / 1000)::int2)
            from 1 for 8
          ),
          'hex'
        )::uuid
        from (select floor(extract(epoch from clock_timestamp()) * 1000000)::bigint) as clock (us)
      $body$;
  end if;
end
$$;

-- The smallest UUIDv7 of a moment: turns a time window into a range of ids, so that one index serves both.
create function patchbay.id_floor(at timestamptz) returns uuid
  language sql immutable strict parallel safe as $$
    select rpad(lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0'), 32, '0')::uuid
  $$;

-- When an id was made, to the millisecond.
create function patchbay.id_time(id uuid) returns timestamptz
  language sql immutable strict parallel safe as $$
    select to_timestamp(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)
  $$;

create table patchbay.orgs (
  id text primary key check (length(id) between 1 and 128),
  name text not null,
  created_at timestamptz not null default now()
);

create table patchbay.org_members (
  org_id text not null references patchbay.orgs (id) on delete cascade,
  user_id text not null check (length(user_id) between 1 and 256),
  role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
  created_at timestamptz not null default now(),
  primary key (org_id, user_id)
);

-- One data key an org, wrapped by the master key. '' holds the key of what belongs to no org.
create table patchbay.data_keys (
  org_id text not null,
  id uuid not null default patchbay.new_id(),
  wrapped bytea not null,
  master_key_id text not null,
  created_at timestamptz not null default now(),
  primary key (org_id, id)
);

create table patchbay.integration_providers (
  key text primary key,
  name text not null,
  description text not null,
  manifest jsonb not null,
  synced_at timestamptz not null default now()
);

-- Deleted integrations and subscriptions keep their row (without secrets), because the history speaks of them.
create table patchbay.org_integrations (
  id uuid primary key default patchbay.new_id(),
  org_id text not null references patchbay.orgs (id) on delete cascade,
  provider_key text not null references patchbay.integration_providers (key),
  name text not null check (length(name) between 1 and 128),
  is_enabled boolean not null default true,
  credentials bytea,
  credential_fields text[] not null default '{}',
  config jsonb not null default '{}',
  revision integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  unique (org_id, id)
);

create table patchbay.webhook_subscriptions (
  id uuid primary key default patchbay.new_id(),
  org_id text not null references patchbay.orgs (id) on delete cascade,
  integration_id uuid not null,
  -- What may be shown. Where the URL itself is the secret (Slack, Teams) the real one is sealed and this is its mask.
  url text not null,
  sealed_url bytea,
  event_types text[] not null check (cardinality(event_types) between 1 and 100),
  -- Sealed JSON: [{ secret, expiresAt | null }], newest first.
  secrets bytea not null,
  is_active boolean not null default true,
  disabled_reason text,
  description text,
  -- Sealed JSON object: header values may be credentials.
  headers bytea,
  header_names text[] not null default '{}',
  max_age_seconds integer check (max_age_seconds > 0),
  retry_schedule integer[],
  content text not null default 'thin' check (content in ('thin', 'full')),
  -- Grows with every change, so that what a worker has cached is known to be stale.
  revision integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  unique (org_id, id),
  foreign key (org_id, integration_id) references patchbay.org_integrations (org_id, id) on delete cascade
);

create index webhook_subscriptions_by_integration on patchbay.webhook_subscriptions (org_id, integration_id, id);

-- The hot half of a subscription: what its last tries came to. Its row exists from the first recorded try on.
create table patchbay.subscription_health (
  subscription_id uuid primary key,
  org_id text not null,
  consecutive_failures integer not null default 0,
  first_failure_at timestamptz,
  last_delivered_at timestamptz,
  last_failed_at timestamptz
) with (fillfactor = 50);
