-- Tools of an org and their runs; the reference chat's conversations.

create table patchbay.external_tool_definitions (
  id uuid primary key default patchbay.new_id(),
  org_id text not null,
  integration_id uuid not null,
  name text not null,
  -- Derived from the name once and kept: what model APIs accept as a function's name.
  wire_name text not null,
  description text not null,
  args_schema jsonb not null,
  http_config jsonb not null,
  is_enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (org_id, id),
  unique (org_id, wire_name),
  foreign key (org_id, integration_id) references patchbay.org_integrations (org_id, id) on delete cascade
);
create unique index external_tool_definitions_name on patchbay.external_tool_definitions (org_id, lower(name));

create table patchbay.tool_runs (
  id uuid primary key,
  org_id text not null,
  tool text not null,
  tool_id uuid,
  integration_id uuid,
  conversation_id text,
  user_id text not null,
  source text not null check (source in ('chat', 'api')),
  outcome text not null check (outcome in ('success', 'error', 'timeout', 'blocked')),
  duration_ms integer not null,
  arguments json not null,
  result text,
  error text
) partition by range (id);
create index tool_runs_by_org on patchbay.tool_runs (org_id, id);
create table patchbay.tool_runs_default partition of patchbay.tool_runs default;

create table patchbay.conversations (
  id uuid primary key default patchbay.new_id(),
  org_id text not null references patchbay.orgs (id) on delete cascade,
  title text,
  created_by text not null,
  created_at timestamptz not null default now(),
  unique (org_id, id)
);

create table patchbay.messages (
  id uuid primary key default patchbay.new_id(),
  org_id text not null,
  conversation_id uuid not null,
  role text not null check (role in ('user', 'assistant')),
  content text not null,
  user_id text,
  model text,
  created_at timestamptz not null default now(),
  foreign key (org_id, conversation_id) references patchbay.conversations (org_id, id) on delete cascade
);
create index messages_by_conversation on patchbay.messages (org_id, conversation_id, id);
