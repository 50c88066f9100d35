-- How long the next delivery of a lane has been ready, at most over all lanes, in seconds: whether there are enough workers, in
-- one number. What scales them asks for it, and so do the metrics.
--
-- Lanes that more workers would not make faster do not count: those with a rate, those whose endpoint fails, those that are
-- stopped. One look-up by index a lane, so it is as cheap with a million deliveries owed to one lane as with one.
create function patchbay.owed_age() returns double precision
  language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
    with recursive lane as (
      (
        select q.subscription_id from patchbay.delivery_queue as q
        where q.ready
        order by q.subscription_id
        limit 1
      )
      union all
      select next.subscription_id
      from lane
      cross join lateral (
        select q.subscription_id from patchbay.delivery_queue as q
        where q.ready and q.subscription_id > lane.subscription_id
        order by q.subscription_id
        limit 1
      ) as next
    )
    select coalesce(extract(epoch from now() - min(first.due_at)), 0)
    from lane
    join patchbay.webhook_subscriptions as s on s.id = lane.subscription_id
    join patchbay.org_integrations as i on i.id = s.integration_id
    join patchbay.subscription_health as h on h.subscription_id = lane.subscription_id
    cross join lateral (
      select q.due_at from patchbay.delivery_queue as q
      where q.ready and q.subscription_id = lane.subscription_id
      order by q.id
      limit 1
    ) as first
    where s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null
      and s.rate_limit is null and h.consecutive_failures = 0 and h.open_until is null
  $$;
