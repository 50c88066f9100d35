-- The second wall between organizations: row-level security. The API asks the database as a role that owns nothing, with
-- `app.org_id` set for the transaction, and sees and writes the rows of that org alone, whatever its statements say.

-- The API's role. It cannot log in; the role that runs the migrations takes it on. One for each database: roles belong to
-- the whole server, and whoever may act as this one may read every org that it names, so it is not shared with others.
do $$
declare
  api text := 'patchbay_api_' || current_database();
begin
  if octet_length(api) > 63 then
    api := 'patchbay_api_' || md5(current_database());
  end if;
  begin
    if not exists (select from pg_catalog.pg_roles where rolname = api) then
      execute format('create role %I nologin noinherit', api);
    end if;
    if current_setting('server_version_num')::int < 160000 then
      if not pg_has_role(current_user, api, 'member') then
        execute format('grant %I to current_user', api);
      end if;
    elsif not pg_has_role(current_user, api, 'set') then
      execute format('grant %I to current_user with set true, inherit false', api);
    end if;
  exception
    when insufficient_privilege then
      raise exception using
        errcode = 'insufficient_privilege',
        message = format(
          'the role %I may not make a role. Let an administrator run these two, then start again: create role %I nologin; grant %I to %I;',
          current_user, api, api, current_user);
  end;
  execute format(
    'create function patchbay.api_role() returns name language sql immutable parallel safe as %L',
    format('select %L::name', api));
end
$$;

-- The org of this transaction; '' where none is set, which is no org's id: what belongs to the installation itself.
create function patchbay.current_org() returns text
  language sql stable parallel safe as $$ select coalesce(current_setting('app.org_id', true), '') $$;

-- Closes a table: the API's role sees one org's rows and may do there what `privileges` says, the owner (worker, operator)
-- goes on seeing all, and everybody else sees nothing. Not forced on the owner: it would need a policy that shows it
-- everything, which protects nothing, and its pg_dump would refuse to run.
create function patchbay.close_table(name text, privileges text, org_column text default 'org_id') returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute format('alter table patchbay.%I enable row level security', name);
  -- A sub-select is evaluated once for a statement, a bare call once for a row.
  execute format(
    'create policy own_org on patchbay.%I to %I using (%I = (select patchbay.current_org())) with check (%I = (select patchbay.current_org()))',
    name, patchbay.api_role(), org_column, org_column);
  if privileges is not null then
    execute format('grant %s on patchbay.%I to %I', privileges, name, patchbay.api_role());
  end if;
end
$$;

-- Lets a role of the operator's read every org: a dashboard, a person with psql. Only the owner can call it with effect.
create function patchbay.show_to(reader name) returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  closed name;
begin
  execute format('grant usage on schema patchbay to %I', reader);
  for closed in
    select c.relname from pg_class as c
    where c.relnamespace = 'patchbay'::regnamespace and c.relrowsecurity
      -- What opens secrets, or stands for one, is nobody's to read.
      and c.relname not in ('data_keys', 'api_keys')
    order by 1
  loop
    execute format('drop policy if exists %I on patchbay.%I', left(reader || '_reads', 63), closed);
    execute format('create policy %I on patchbay.%I for select to %I using (true)',
      left(reader || '_reads', 63), closed, reader);
    execute format('grant select on patchbay.%I to %I', closed, reader);
  end loop;
  execute format('grant select on patchbay.integration_providers, patchbay.webhook_deliveries to %I', reader);
end
$$;

-- An event that the API records belongs to the org of its transaction: `emit_event` acts with its owner's rights, so that hosts
-- need none, and would write for any. A host's own transaction has no `patchbay.org_id`.
create or replace function patchbay.place_event() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if coalesce(nullif(current_setting('patchbay.org_id', true), ''), new.org_id) <> new.org_id then
    raise exception using errcode = 'insufficient_privilege', message = 'an event of another org';
  end if;
  insert into patchbay.outbox_pending (event_id, org_id) values (new.id, new.org_id) on conflict (event_id) do nothing;
  return null;
end
$$;

-- From where it was done, and by which request.
alter table patchbay.audit_log add column address text, add column request_id text;

-- What was listed for a recovery says whose it is, like every other row.
alter table patchbay.recoveries add unique (org_id, id);
alter table patchbay.recovery_items add column org_id text;
update patchbay.recovery_items as i
set org_id = r.org_id
from patchbay.recoveries as r
where r.id = i.recovery_id;
-- A process of the version before lists them without.
create function patchbay.own_recovery_item() returns trigger
  language plpgsql as $$
begin
  select r.org_id into new.org_id from patchbay.recoveries as r where r.id = new.recovery_id;
  return new;
end
$$;
create trigger own_recovery_item
  before insert on patchbay.recovery_items
  for each row when (new.org_id is null)
  execute function patchbay.own_recovery_item();
alter table patchbay.recovery_items
  alter column org_id set not null,
  drop constraint recovery_items_recovery_id_fkey,
  add foreign key (org_id, recovery_id) references patchbay.recoveries (org_id, id) on delete cascade;

do $$
begin
  execute format('grant usage on schema patchbay to %I', patchbay.api_role());
  execute format('grant select on patchbay.integration_providers to %I', patchbay.api_role());
  perform
    patchbay.close_table('orgs', 'select', 'id'),
    patchbay.close_table('org_members', 'select, insert, update, delete'),
    -- Only the keyring reads keys, and it is not the API's role.
    patchbay.close_table('data_keys', null),
    patchbay.close_table('org_integrations', 'select, insert, update'),
    patchbay.close_table('webhook_subscriptions', 'select, insert, update'),
    patchbay.close_table('subscription_patterns', 'select, insert, delete'),
    patchbay.close_table('subscription_health', 'select, insert, update'),
    patchbay.close_table('subscription_states', 'select, insert'),
    patchbay.close_table('outbox_events', 'select, insert'),
    patchbay.close_table('outbox_pending', 'select'),
    patchbay.close_table('outbox_keys', 'select'),
    patchbay.close_table('delivery_queue', 'select, insert, update, delete'),
    patchbay.close_table('webhook_delivery_log', 'select, insert'),
    patchbay.close_table('external_tool_definitions', 'select, insert, update, delete'),
    patchbay.close_table('tool_runs', 'select, insert'),
    patchbay.close_table('conversations', 'select, insert, update'),
    patchbay.close_table('messages', 'select, insert'),
    patchbay.close_table('idempotency_keys', 'select, insert, update, delete'),
    -- Append-only: nobody who acts through the API takes back that they did.
    patchbay.close_table('audit_log', 'select, insert'),
    patchbay.close_table('recoveries', 'select, insert, update'),
    patchbay.close_table('recovery_items', 'select, insert');
  execute format('grant select on patchbay.webhook_deliveries to %I', patchbay.api_role());
end
$$;
