-- Workers plan without nested loops (src/db/hot-settings.ts), so that a plan made for an empty queue holds for a full one. What
-- triggers do in their sessions is done for few rows, and is planned as everywhere else.
alter function patchbay.emit_subscription_event(text, patchbay.subscription_health, jsonb) set enable_nestloop = on;
alter function patchbay.resume_lane() set enable_nestloop = on;
alter function patchbay.note_subscription_state() set enable_nestloop = on;

-- Lets go the next of conversations, as before. Written as look-ups: as joins, a plan made for an empty queue read all of it.
create or replace function patchbay.open_next(subscriptions uuid[], keys text[]) returns integer
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
    from (
      select *
      from unnest(subscriptions, keys) as c (subscription_id, ordering_key)
      where (
        select count(*)
        from (
          select
          from patchbay.delivery_queue as o
          where not o.blocked and o.subscription_id = c.subscription_id and o.ordering_key = c.ordering_key
          limit 1
        ) as open
      ) = 0
      offset 0
    ) as c
    cross join lateral (
      select f.id
      from patchbay.delivery_queue as f
      where f.blocked and f.subscription_id = c.subscription_id and f.ordering_key = c.ordering_key
      order by f.place
      limit 1
    ) as first
    -- Who has it locked is about to delete it, and the deletion comes here again; if that rolls back, the sweep does.
    cross join lateral (
      select b.id from patchbay.delivery_queue as b where b.id = first.id for update skip locked
    ) as b
  ));
  get diagnostics opened = row_count;
  return opened;
end
$$;
