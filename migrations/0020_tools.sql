-- breaking
-- A process of before would run a tool that has to be approved first.
-- Tools that can be answered for: runs that are written down before the call leaves, and calls that wait for a person.

alter table patchbay.external_tool_definitions
  -- `ask`: a call waits until somebody with the permission has approved it.
  add column approval text not null default 'auto' check (approval in ('auto', 'ask')),
  -- JSON Schema of what it gives back; null: not known.
  add column output_schema jsonb,
  -- Of a tool that was not written here: what it is in its source (`GET /pets/{id}` of an OpenAPI document, a name on an MCP
  -- server), and the definition as the source last gave it. Where the tool differs from that, a person changed it.
  add column source_key text check (length(source_key) between 1 and 512),
  add column source jsonb,
  -- null: it is called by its name on the integration's MCP server.
  alter column http_config drop not null,
  add constraint external_tool_definitions_way check (http_config is not null or source_key is not null);
create unique index external_tool_definitions_source on patchbay.external_tool_definitions (org_id, integration_id, source_key)
  where source_key is not null;

alter table patchbay.org_integrations
  -- Sealed JSON as in webhook_subscriptions.secrets: what signs the calls of its tools.
  add column tool_secrets bytea,
  -- When the tools of its MCP server were last read, what went wrong then, and until when one process has that to itself.
  add column tools_read_at timestamptz,
  add column tools_problem text,
  add column tools_fresh_until timestamptz,
  add column tools_reading_until timestamptz;
-- Servers whose time has come; one that was never read comes first.
create index org_integrations_tools_due on patchbay.org_integrations (coalesce(tools_fresh_until, '-infinity'::timestamptz))
  where provider_key = 'mcp' and deleted_at is null;

alter table patchbay.tool_runs
  drop constraint tool_runs_source_check,
  -- `chat`, `api`, `mcp`, or the key of the app in which somebody asked.
  add constraint tool_runs_source_check check (length(source) between 1 and 64),
  drop constraint tool_runs_outcome_check,
  -- running ─▶ success | error | timeout | blocked; or ─▶ unknown: the process ended before the endpoint's answer was known.
  add constraint tool_runs_outcome_check
    check (outcome in ('running', 'success', 'error', 'timeout', 'blocked', 'unknown')),
  alter column duration_ms drop not null,
  -- While it runs: when it has to have ended.
  add column due_at timestamptz,
  add column finished_at timestamptz,
  -- Requests that left.
  add column attempts smallint not null default 1,
  add column approval_id uuid,
  add constraint tool_runs_running_check check ((outcome = 'running') = (due_at is not null));
create index tool_runs_running on patchbay.tool_runs (due_at) where outcome = 'running';
create index tool_runs_by_tool on patchbay.tool_runs (org_id, tool, id);
create index tool_runs_by_conversation on patchbay.tool_runs (org_id, conversation_id, id) where conversation_id is not null;
create index tool_runs_not_well on patchbay.tool_runs (org_id, outcome, id) where outcome in ('error', 'timeout', 'blocked', 'unknown');
do $$ begin execute format('grant update on patchbay.tool_runs to %I', patchbay.api_role()); end $$;

-- A call that waits for a person.
--
--   pending ─▶ approved (it runs once, as `run_id`) | denied | expired
--
-- What is left to do after that (the run, and a turn of the chat that goes on) is a job's, which has the row until `lease_until`.
create table patchbay.tool_approvals (
  id uuid primary key default patchbay.new_id(),
  org_id text not null references patchbay.orgs (id) on delete cascade,
  tool text not null,
  tool_id uuid not null,
  integration_id uuid not null,
  -- Who asked, and where: as in tool_runs.
  user_id text not null,
  source text not null check (length(source) between 1 and 64),
  conversation_id text,
  -- As people may see them; what is sent is sealed, and gone when it was.
  arguments json not null,
  call bytea,
  -- Of what was asked for: the tool as it was defined then, and its arguments. Nothing else is run.
  call_hash text not null,
  state text not null default 'pending' check (state in ('pending', 'approved', 'denied', 'expired')),
  decided_by text,
  decided_at timestamptz,
  expires_at timestamptz not null,
  run_id uuid,
  -- Of the turn that goes on when it is decided, sealed; null: nobody waits.
  turn bytea,
  -- A caller that has no turn to go on has come back for what became of it.
  collected_at timestamptz,
  -- Nothing is left to do.
  is_done boolean not null default false,
  tries smallint not null default 0,
  lease_token uuid,
  lease_until timestamptz not null default now(),
  created_at timestamptz not null default now(),
  check ((state = 'pending') = (decided_at is null)),
  check (run_id is null or state = 'approved')
);
-- Asked again while it waits, it is the same.
create unique index tool_approvals_pending on patchbay.tool_approvals
  (org_id, tool_id, user_id, coalesce(conversation_id, ''), call_hash) where state = 'pending';
-- What a caller that comes back asks for.
create index tool_approvals_decided on patchbay.tool_approvals (org_id, call_hash)
  where state <> 'pending' and collected_at is null;
create index tool_approvals_by_org on patchbay.tool_approvals (org_id, id);
create index tool_approvals_expiring on patchbay.tool_approvals (expires_at) where state = 'pending';
create index tool_approvals_open on patchbay.tool_approvals (lease_until) where state <> 'pending' and not is_done;
select patchbay.close_table('tool_approvals', 'select, insert, update');

-- What signs the token that says for whom a tool is called: of the whole installation. The public keys are published.
create table patchbay.context_keys (
  id text primary key,
  public_jwk jsonb not null,
  -- Sealed under the installation's own data key.
  private_jwk bytea not null,
  created_at timestamptz not null default now(),
  -- From when on it signs nothing new.
  retired_at timestamptz
);

-- The first id of all for what is before the time that ids know of: a window that begins there has everything in it.
create or replace function patchbay.id_floor(at timestamptz) returns uuid
  language sql immutable strict parallel safe as $$
    select rpad(lpad(to_hex(greatest(floor(extract(epoch from at) * 1000), 0)::bigint), 12, '0'), 32, '0')::uuid
  $$;
