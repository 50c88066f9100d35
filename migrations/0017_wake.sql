-- Tells the workers that something was committed: they look at once and not with their next poll. For hosts, after a commit
-- and never in it: a NOTIFY holds one lock of the whole server until its transaction is over. Nothing is lost where it is, so
-- this one does not wait for the disk.
create function patchbay.wake() returns void
  language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  perform pg_notify('patchbay_wake', '');
end
$$;
