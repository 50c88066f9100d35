-- A request that runs says so every few seconds: one whose process is gone gives its Idempotency-Key back soon.
alter table patchbay.idempotency_keys
  add column holder uuid,
  add column alive_at timestamptz not null default now();
