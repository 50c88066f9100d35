-- One partition a day for everything that grows, made ahead and dropped whole.

create table patchbay.partitioned_tables (
  name text primary key,
  id_column text not null
);
insert into patchbay.partitioned_tables values
  ('outbox_events', 'id'), ('webhook_delivery_log', 'delivery_id'), ('tool_runs', 'id');

-- Makes the partitions from yesterday until `ahead_days` from now. Returns how many were new. Safe to call from several
-- processes at once. Built beside the parent and attached, which never blocks readers or writers of the parent; rows that
-- the default partition caught meanwhile move into their day.
create function patchbay.ensure_partitions(ahead_days integer default 14) returns integer
  language plpgsql as $$
declare
  parent record;
  day timestamptz;
  child text;
  lower_id uuid;
  upper_id uuid;
  made integer := 0;
begin
  perform pg_advisory_xact_lock(hashtext('patchbay.ensure_partitions'));
  for parent in select name, id_column from patchbay.partitioned_tables loop
    for day in
      select at at time zone 'UTC'
      from generate_series(
        date_trunc('day', now() at time zone 'UTC') - interval '1 day',
        date_trunc('day', now() at time zone 'UTC') + make_interval(days => ahead_days),
        interval '1 day'
      ) as at
    loop
      child := parent.name || '_' || to_char(day at time zone 'UTC', 'YYYYMMDD');
      continue when to_regclass('patchbay.' || child) is not null;
      lower_id := patchbay.id_floor(day);
      upper_id := patchbay.id_floor(day + interval '1 day');
      execute format('create table patchbay.%I (like patchbay.%I including all)', child, parent.name);
      execute format(
        'with late as (delete from patchbay.%I where %I >= %L and %I < %L returning *) insert into patchbay.%I select * from late',
        parent.name || '_default', parent.id_column, lower_id, parent.id_column, upper_id, child
      );
      execute format(
        'alter table patchbay.%I attach partition patchbay.%I for values from (%L) to (%L)',
        parent.name, child, lower_id, upper_id
      );
      made := made + 1;
    end loop;
  end loop;
  return made;
end
$$;

-- Drops the partitions that ended more than `keep_days` ago. A day that something owed still needs (its event, its tries)
-- stays until it does not. Returns how many were dropped.
create function patchbay.drop_old_partitions(keep_days integer) returns integer
  language plpgsql as $$
declare
  old record;
  dropped integer := 0;
begin
  for old in
    select t.name as parent, c.relname as child, d.day
    from patchbay.partitioned_tables as t
    join pg_inherits as i on i.inhparent = format('patchbay.%I', t.name)::regclass
    join pg_class as c on c.oid = i.inhrelid
    cross join lateral (
      select to_date(substring(c.relname from '_([0-9]{8})$'), 'YYYYMMDD')::timestamp at time zone 'UTC' as day
    ) as d
    where d.day + interval '1 day' < now() - make_interval(days => keep_days)
  loop
    continue when old.parent = 'outbox_events' and (
      exists (
        select from patchbay.outbox_pending as p
        where p.event_id >= patchbay.id_floor(old.day) and p.event_id < patchbay.id_floor(old.day + interval '1 day')
      )
      or exists (
        select from patchbay.delivery_queue as q
        where q.event_id >= patchbay.id_floor(old.day) and q.event_id < patchbay.id_floor(old.day + interval '1 day')
      )
    );
    continue when old.parent = 'webhook_delivery_log' and exists (
      select from patchbay.delivery_queue as q
      where q.id >= patchbay.id_floor(old.day) and q.id < patchbay.id_floor(old.day + interval '1 day')
    );
    execute format('drop table patchbay.%I', old.child);
    dropped := dropped + 1;
  end loop;
  -- What a default partition caught while nobody made days, and that never got a day of its own: a few rows, if any.
  for old in select name, id_column from patchbay.partitioned_tables loop
    execute format(
      'delete from patchbay.%I as d where d.%I < patchbay.id_floor(now() - make_interval(days => $1))
         and not exists (select from patchbay.delivery_queue as q where q.event_id = d.%I or q.id = d.%I)',
      old.name || '_default', old.id_column, old.id_column, old.id_column
    ) using keep_days;
  end loop;
  return dropped;
end
$$;

select patchbay.ensure_partitions();
