-- `patchbay.owed_age()`, what the number of workers is scaled by, for a login that may ask this one thing. Run it as the role of
-- DATABASE_URL, after `migrate` (where that role may not make roles, an administrator makes `patchbay_scaler` first).
create schema if not exists patchbay_scaling;

-- The login reads no table: the function acts with its owner's rights, past row-level security.
create or replace function patchbay_scaling.owed_age() returns double precision
  language sql stable security definer set search_path = pg_catalog, pg_temp
  as $$ select patchbay.owed_age() $$;

-- Without a password nobody logs in: `\password patchbay_scaler` in psql sets one.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'patchbay_scaler') then
    create role patchbay_scaler login connection limit 3;
  end if;
end
$$;
revoke all on function patchbay_scaling.owed_age() from public;
grant usage on schema patchbay_scaling to patchbay_scaler;
grant execute on function patchbay_scaling.owed_age() to patchbay_scaler;
