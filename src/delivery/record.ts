import type { OutcomeKind, Trigger } from '../core/delivery.ts'
import type { Queryable } from '../db/pool.ts'

/** What a try does to its row: ends it, spends a step, costs nothing, or hands back to the schedule after a manual try. */
export type Next = 'final' | 'retry' | 'free' | 'resume'

export interface AttemptRecord {
  readonly deliveryId: string
  readonly leaseToken: string
  readonly attempt: number
  readonly trigger: Trigger
  /** Another one may follow at once: the next of its conversation, or the next try that was asked for. */
  readonly isInLine: boolean
  readonly outcome: OutcomeKind
  readonly next: Next
  readonly afterMs: number
  readonly statusCode: number | null
  readonly durationMs: number | null
  readonly error: string | null
  readonly snippet: string | null
}

/** Failures in a row after which a circuit opens, and how long it then stays open: doubled by each probe that fails. */
const OPENS_AFTER = 10
const FIRST_OPEN_S = 30
const LONGEST_OPEN_S = 900
/** A lane without one success for so long is disabled. */
const DISABLED_AFTER_DAYS = 5

/**
 * Records many tries at once. Fenced: only where the row still carries the claim's token does anything happen. Where manual
 * tries were asked for meanwhile, the next of them follows at once, whatever this one came to.
 *
 * Health is written when it changes, and at most every ten seconds while all goes well: this is what opens and closes a
 * circuit. 410 disables the subscription, and so do five days of nothing but failures. What a test comes to says nothing
 * bad about a lane. The events that tell of all this are written by triggers, in this transaction.
 */
const RECORD = `
with tried as materialized (
  select *
  from unnest(
    $1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::float8[], $8::smallint[], $9::int[],
    $10::text[], $11::text[]
  ) as t (
    delivery_id, lease_token, attempt, trigger, outcome, next, after_ms, status_code, duration_ms, error, snippet
  )
),
ended as (
  delete from patchbay.delivery_queue as q
  using tried as t
  where q.id = any ($1) and q.id = t.delivery_id and q.lease_token = t.lease_token and t.next = 'final'
  returning q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.extra_tries
),
asked_again as (
  insert into patchbay.delivery_queue (id, org_id, subscription_id, event_id, attempt, trigger, extra_tries)
  select id, org_id, subscription_id, event_id, attempt + 1, 'manual', extra_tries - 1
  from ended
  where extra_tries > 0
),
again as (
  update patchbay.delivery_queue as q
  set
    ready = false,
    lease_token = null,
    attempt = q.attempt + (t.next <> 'free')::int,
    step = q.step + (t.next = 'retry')::int,
    (trigger, resume_trigger, extra_tries, resume_at, due_at) = (
      select
        case when is_extra then 'manual' when t.next = 'resume' then coalesce(q.resume_trigger, 'schedule') else q.trigger end,
        case when is_extra then coalesce(q.resume_trigger, q.trigger) when t.next <> 'resume' then q.resume_trigger end,
        q.extra_tries - is_extra::int,
        case when is_extra and t.next = 'retry' then at when is_extra or t.next <> 'resume' then q.resume_at end,
        case when is_extra then now() when t.next = 'resume' then coalesce(q.resume_at, now()) else at end
      from (
        select t.next <> 'free' and q.extra_tries > 0 as is_extra,
          -- What is owed to a subscription that was deleted meanwhile comes up at once, to be canceled.
          now() + case when exists (
            select from patchbay.webhook_subscriptions as s where s.id = q.subscription_id and s.deleted_at is not null
          ) then interval '0' else make_interval(secs => t.after_ms / 1000) end as at
      ) as next
    )
  from tried as t
  where q.id = any ($1) and q.id = t.delivery_id and q.lease_token = t.lease_token and t.next <> 'final'
  returning q.id, q.org_id, q.subscription_id, q.event_id
),
settled as materialized (
  select s.org_id, s.subscription_id, s.event_id, t.*
  from (select id, org_id, subscription_id, event_id from ended union all select * from again) as s
  join tried as t on t.delivery_id = s.id
),
logged as (
  insert into patchbay.webhook_delivery_log (
    delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, status_code, duration_ms, error,
    response_snippet, trigger
  )
  select delivery_id, org_id, subscription_id, event_id, attempt, outcome, next = 'final', status_code, duration_ms, error,
    snippet, trigger
  from settled
),
sums as materialized (
  select subscription_id,
    bool_or(outcome = 'delivered') as has_delivered,
    bool_or(outcome = 'gone') as is_gone,
    count(*) filter (where is_failure)::int as failures,
    max(error) filter (where is_failure) as last_error,
    array_agg(lease_token) as tokens
  from (
    select *, outcome = 'gone' or (outcome in ('failed', 'throttled', 'blocked') and trigger <> 'test') as is_failure
    from settled
  ) as s
  group by subscription_id
),
-- Locked in one order, so that two workers that record the same lanes never wait for each other in a circle.
health as materialized (
  select h.subscription_id, h.consecutive_failures, h.first_failure_at, h.open_until, h.failed_probes, h.probe_token
  from patchbay.subscription_health as h
  where h.subscription_id = any (array(
    select s.subscription_id
    from sums as s
    cross join lateral (
      select * from patchbay.subscription_health as h where h.subscription_id = s.subscription_id offset 0
    ) as current
    where s.failures > 0 or current.probe_token = any (s.tokens)
      or (s.has_delivered and (
        current.consecutive_failures > 0 or current.open_until is not null
        or current.last_delivered_at is null or current.last_delivered_at < now() - interval '10 seconds'
      ))
  ))
  order by h.subscription_id
  for no key update
),
judged as materialized (
  select s.*, h.first_failure_at, h.open_until is not null as was_open, is_probe,
    case when s.has_delivered then 0 else h.consecutive_failures + s.failures end as total,
    case when s.has_delivered then 0 else h.failed_probes + (is_probe and s.failures > 0)::int end as failed_probes,
    h.open_until
  from health as h
  join sums as s using (subscription_id)
  cross join lateral (select coalesce(h.probe_token = any (s.tokens), false)) as probe (is_probe)
),
circuit as materialized (
  select j.*, case
    when j.has_delivered then null
    when not j.was_open and j.total >= ${OPENS_AFTER} then now() + interval '${FIRST_OPEN_S} seconds'
    when j.is_probe and j.failures > 0
      then now() + make_interval(secs => least(${FIRST_OPEN_S} * 2 ^ least(j.failed_probes, 10), ${LONGEST_OPEN_S}))
    -- A probe that came to nothing: the next one may go at once.
    when j.is_probe then now()
    else j.open_until end as next_open_until
  from judged as j
),
moved as (
  update patchbay.subscription_health as h
  set
    consecutive_failures = c.total,
    first_failure_at = case when c.has_delivered then null when c.failures > 0 then coalesce(h.first_failure_at, now())
      else h.first_failure_at end,
    last_delivered_at = case when c.has_delivered then now() else h.last_delivered_at end,
    last_failed_at = case when c.failures > 0 then now() else h.last_failed_at end,
    last_error = case when c.has_delivered then null else coalesce(c.last_error, h.last_error) end,
    failed_probes = c.failed_probes,
    probe_token = case when c.has_delivered or c.is_probe then null else h.probe_token end,
    open_until = c.next_open_until,
    probe_at = case when c.next_open_until is distinct from h.open_until then c.next_open_until else h.probe_at end,
    is_resuming = h.is_resuming or (c.has_delivered and c.was_open),
    resume_at = case when c.has_delivered and c.was_open then now() else h.resume_at end,
    resume_step = case when c.has_delivered and c.was_open then 0 else h.resume_step end
  from circuit as c
  where h.subscription_id = c.subscription_id and h.subscription_id = any (array(select subscription_id from circuit))
),
-- A transaction that changes the subscription at this moment may wait for the lane's health, which is locked here; so it is
-- not waited for in turn. The next failure says the same again.
free as materialized (
  select s.id
  from patchbay.webhook_subscriptions as s
  where s.is_active and s.id = any (array(
    select c.subscription_id
    from circuit as c
    where c.is_gone or (
      not c.has_delivered and c.failures > 0 and c.total >= ${OPENS_AFTER}
      and c.first_failure_at < now() - interval '${DISABLED_AFTER_DAYS} days'
    )
  ))
  for no key update skip locked
),
disabled as (
  update patchbay.webhook_subscriptions as s
  set is_active = false, revision = s.revision + 1, updated_at = now(),
    disabled_reason = case when c.is_gone
      then 'The receiver answered 410 Gone: it wants nothing more. Enable the subscription to start again.'
      else 'Not one delivery succeeded in ${DISABLED_AFTER_DAYS} days. Last error: ' || coalesce(c.last_error, 'unknown')
        || '. What is owed is held: enable the subscription to send it.' end
  from circuit as c
  where s.id = c.subscription_id and s.id = any (array(select id from free))
)
select delivery_id from settled`

/** @returns the delivery ids that were recorded; the others were lost to another claim */
export async function recordAttempts(
  db: Queryable,
  records: readonly AttemptRecord[],
): Promise<Set<string>> {
  const { rows } = await db.query<[deliveryId: string]>({
    name: 'record_attempts',
    text: RECORD,
    rowMode: 'array',
    values: [
      toArray(records.map((record) => record.deliveryId)),
      toArray(records.map((record) => record.leaseToken)),
      toArray(records.map((record) => record.attempt)),
      toArray(records.map((record) => record.trigger)),
      toArray(records.map((record) => record.outcome)),
      toArray(records.map((record) => record.next)),
      toArray(records.map((record) => record.afterMs)),
      toArray(records.map((record) => record.statusCode)),
      toArray(records.map((record) => record.durationMs)),
      records.map((record) => record.error),
      records.map((record) => record.snippet),
    ],
  })
  return new Set(rows.map(([deliveryId]) => deliveryId))
}

/** An array as Postgres reads it. For numbers, ids and words of ours: nothing in them needs a quote, and looking takes time. */
function toArray(values: readonly (string | number | null)[]): string {
  return `{${values.map((value) => value ?? 'null').join(',')}}`
}
