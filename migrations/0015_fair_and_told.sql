-- One org does not hold up the others, and it can be seen afterwards what went where.

-- The relay walks the orgs that have something pending, and takes the events of each in the order of their commits. In the
-- collation "C": it compares faster, and row-level security, which compares `org_id` in the database's own, never takes this
-- index for one event of an org where it could take that event's.
alter table patchbay.outbox_pending
  drop constraint outbox_pending_pkey,
  add constraint outbox_pending_pkey primary key using index outbox_pending_event;
create unique index outbox_pending_by_org on patchbay.outbox_pending (org_id collate "C", place);

-- An org of which many lanes fail is told of the first hundred of them, by id, and no more: with n subscriptions to everything,
-- n that fail would tell n others each.
create index subscription_health_open on patchbay.subscription_health (org_id, subscription_id) where open_until is not null;

create or replace function patchbay.tell_circuit() returns trigger
  language plpgsql as $$
begin
  if 100 <= (
    select count(*)
    from (
      select from patchbay.subscription_health as h
      where h.org_id = new.org_id and h.open_until is not null and h.subscription_id < new.subscription_id
      limit 100
    ) as open
  ) then
    return null;
  end if;
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

-- Where a run went; a definition may have been changed since. Null: a built-in tool, or a run of before.
alter table patchbay.tool_runs add column host text;
