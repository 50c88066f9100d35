-- A subscription belongs to one org. A planner that does not know it multiplies the shares that both have of the log, takes
-- the only lane of a small org for a few rows, and sorts all of them for one page. New days take this from the parent.
create statistics patchbay.webhook_delivery_log_lanes (dependencies) on subscription_id, org_id
  from patchbay.webhook_delivery_log;

do $$
declare
  child name;
begin
  for child in
    select c.relname
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = 'patchbay.webhook_delivery_log'::regclass
    order by 1
  loop
    execute format('create statistics patchbay.%I (dependencies) on subscription_id, org_id from patchbay.%I',
      child || '_lanes', child);
    -- Nothing else would, where nothing is written any more. Reads a sample.
    execute format('analyze patchbay.%I', child);
  end loop;
end
$$;
