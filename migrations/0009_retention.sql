-- Retention: days are made ahead and dropped whole, without ever holding up an emit; what is still owed ends visibly.

-- The log outlives the bodies, so that what ended only because its body went can still be read.
alter table patchbay.partitioned_tables add column extra_days integer not null default 0;
update patchbay.partitioned_tables set extra_days = 7 where name = 'webhook_delivery_log';

-- Makes the partitions from yesterday until `ahead_days` from now, and those of older days that a default partition caught rows
-- of. Returns how many were new. Of several processes at once one does it, the others go on. Built beside the parent and attached, which
-- never blocks readers or writers of the parent; rows that the default partition caught move into their day. A day whose lock
-- cannot be had within a second is left for the next time, so nobody queues up behind us.
create or replace function patchbay.ensure_partitions(ahead_days integer default 14) returns integer
  language plpgsql as $$
declare
  parent record;
  day timestamptz;
  child text;
  caught timestamptz[];
  lower_id uuid;
  upper_id uuid;
  made integer := 0;
begin
  if not pg_try_advisory_xact_lock(hashtext('patchbay.ensure_partitions')) then
    return 0;
  end if;
  perform set_config('lock_timeout', '1s', true);
  for parent in select name, id_column from patchbay.partitioned_tables loop
    execute format(
      'select array_agg(distinct date_trunc(''day'', patchbay.id_time(%I) at time zone ''UTC'') at time zone ''UTC'') from patchbay.%I',
      parent.id_column, parent.name || '_default'
    ) into caught;
    for day in
      select at at time zone 'UTC'
      from generate_series(
        date_trunc('day', now() at time zone 'UTC') - interval '1 day',
        date_trunc('day', now() at time zone 'UTC') + make_interval(days => ahead_days),
        interval '1 day'
      ) as at
      union
      select late from unnest(caught) as late where late < now()
    loop
      child := parent.name || '_' || to_char(day at time zone 'UTC', 'YYYYMMDD');
      continue when to_regclass('patchbay.' || child) is not null;
      lower_id := patchbay.id_floor(day);
      upper_id := patchbay.id_floor(day + interval '1 day');
      begin
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
      exception when lock_not_available then
        null;
      end;
    end loop;
  end loop;
  perform set_config('lock_timeout', '0', true);
  return made;
end
$$;

-- Ends what is still owed of events that are past the retention (their subscription was disabled all the time, say), so that
-- their day can go. The log keeps the end. Returns how many it ended, at most `max_rows`.
create function patchbay.expire_owed(keep_days integer, max_rows integer) returns integer
  language sql volatile as $$
    with expired as (
      delete from patchbay.delivery_queue as q
      where q.id = any (array(
        select o.id from patchbay.delivery_queue as o
        where o.event_id < patchbay.id_floor(now() - make_interval(days => keep_days)) and o.lease_token is null
        limit max_rows
        for update skip locked
      ))
      returning q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.trigger
    ),
    logged as (
      insert into patchbay.webhook_delivery_log
        (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, error, trigger)
      select id, org_id, subscription_id, event_id, attempt, 'expired', true,
        'still owed when the retention of ' || keep_days || ' days ended', trigger
      from expired
      returning 1
    )
    select count(*)::int from logged
  $$;

drop function patchbay.drop_old_partitions(integer);

-- Drops the oldest partition that ended more than `keep_days` ago, and returns its name; null when there is none. One a call,
-- because the drop locks the parent until its transaction ends. A day of events that are not fanned out yet, or are on their
-- way at this moment, waits. So does a day whose lock cannot be had within half a second (somebody holds a snapshot open):
-- who waits for that lock holds up every emit behind it.
create function patchbay.drop_old_partition(keep_days integer) returns text
  language plpgsql as $$
declare
  old record;
begin
  perform set_config('lock_timeout', '500ms', true);
  for old in
    select t.name as parent, c.relname as child, d.day
    from patchbay.partitioned_tables as t
    join pg_inherits as i on i.inhparent = format('patchbay.%I', t.name)::regclass
    join pg_class as c on c.oid = i.inhrelid
    cross join lateral (
      select to_date(substring(c.relname from '_([0-9]{8})$'), 'YYYYMMDD')::timestamp at time zone 'UTC' as day
    ) as d
    where d.day + interval '1 day' < now() - make_interval(days => keep_days + t.extra_days)
    order by d.day, t.name
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
    begin
      execute format('drop table patchbay.%I', old.child);
      return old.child;
    exception when lock_not_available then
      return null;
    end;
  end loop;
  return null;
end
$$;
