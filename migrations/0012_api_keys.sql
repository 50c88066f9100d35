-- Keys that programs of an org call the API with. Of a key its SHA-256 is kept: it is 32 random bytes, which nobody guesses, and
-- a slow hash would only cost every request.
create table patchbay.api_keys (
  org_id text not null references patchbay.orgs (id) on delete cascade,
  id uuid not null default patchbay.new_id(),
  name text not null check (length(name) between 1 and 128),
  permissions text[] not null check (cardinality(permissions) > 0),
  hash bytea not null unique check (length(hash) = 32),
  -- The end of the key, to tell it from others.
  hint text not null,
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  -- Within a minute.
  last_used_at timestamptz,
  -- The key that made it: it ends no later than that one, and goes with it.
  made_by uuid,
  primary key (org_id, id),
  foreign key (org_id, made_by) references patchbay.api_keys (org_id, id) on delete cascade
);

-- The API's role never reads a hash: a key is looked up before its org is known, by the owner.
select patchbay.close_table(
  'api_keys',
  'select (org_id, id, name, permissions, hint, created_by, created_at, expires_at, last_used_at, made_by), insert, delete'
);
