-- Which hosts an org may call: its admins narrow what the operator allows. No row: everything that is allowed.
create table patchbay.egress_allow_lists (
  org_id text primary key references patchbay.orgs (id) on delete cascade,
  -- Host names, or *. and a name for what is under it. Empty: nothing may be called.
  domains text[] not null check (cardinality(domains) <= 200),
  updated_at timestamptz not null default now()
);
select patchbay.close_table('egress_allow_lists', 'select, insert, update, delete');

-- A change of the list is seen by the next claim of each of the org's lanes: their revision says that what a worker has opened
-- is stale. The lock on the org waits for subscriptions that are being made (their foreign key holds it), and holds up those
-- that begin now, so that none is opened with the old list and not told of the new one.
create function patchbay.note_egress_allow_list() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  changed_org text := coalesce(new.org_id, old.org_id);
begin
  if tg_op = 'UPDATE' and new.domains = old.domains then
    return null;
  end if;
  perform from patchbay.orgs as o where o.id = changed_org for update;
  if not found then
    return null; -- The org itself is being deleted.
  end if;
  perform from patchbay.webhook_subscriptions as s
  where s.org_id = changed_org and s.deleted_at is null
  order by s.id
  for no key update;
  update patchbay.webhook_subscriptions as s set revision = s.revision + 1
  where s.org_id = changed_org and s.deleted_at is null;
  return null;
end
$$;
create trigger note_egress_allow_list
  after insert or update or delete on patchbay.egress_allow_lists
  for each row execute function patchbay.note_egress_allow_list();
