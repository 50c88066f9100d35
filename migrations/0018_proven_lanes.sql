-- Lanes that deliver, in order: while those that hang fill the part of the slots that is theirs, a claim walks past them.
alter table patchbay.subscription_health
  add column is_proven boolean not null
    generated always as (consecutive_failures = 0 and last_delivered_at is not null) stored;
create index subscription_health_proven on patchbay.subscription_health (subscription_id) where is_proven;
