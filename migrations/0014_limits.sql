-- Counted windows of the rate limits, and the rate of a tool.

-- As rate-limiter-flexible wants it: it inserts by position. A key is a digest. Unlogged: after a crash of Postgres the windows
-- begin anew, and a count costs no write-ahead log.
create unlogged table patchbay.rate_limits (
  key text primary key,
  points integer not null,
  -- Milliseconds since 1970, by the clock of the process that opened the window.
  expire bigint
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

alter table patchbay.external_tool_definitions
  add column rate_limit jsonb;
