-- Idempotent requests: the first answer to an Idempotency-Key, sealed, for 24 hours.
create table patchbay.idempotency_keys (
  org_id text not null,
  principal_id text not null,
  key text not null,
  request_hash bytea not null,
  -- null while the first request is still running
  status smallint,
  answer bytea,
  created_at timestamptz not null default now(),
  primary key (org_id, principal_id, key)
);
create index idempotency_keys_age on patchbay.idempotency_keys (created_at);
