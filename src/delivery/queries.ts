import type { OutcomeKind, Trigger } from '../core/delivery.ts'
import type { Queryable } from '../db/pool.ts'

/** A claimed delivery with its event, ready to be sent. Until `lease_token` is given back, nobody else may send it. */
export interface ClaimedRow {
  readonly delivery_id: string
  readonly org_id: string
  readonly subscription_id: string
  readonly subscription_revision: number
  readonly integration_revision: number
  readonly lease_token: string
  readonly attempt: number
  readonly step: number
  readonly trigger: Trigger
  readonly is_resumable: boolean
  readonly event_id: string
  /** null: the event is gone (retention), only its id is left. */
  readonly type: string | null
  readonly conversation_id: string | null
  readonly data: string
  readonly occurred_at: string
  /** Of the event, when it was claimed. */
  readonly age_s: number
}

export interface Claim {
  /** Rows at most, over all lanes. */
  readonly slots: number
  /** Rows at most of one lane. */
  readonly perLane: number
  /** Lanes at most; and only those after this subscription id. */
  readonly lanes: number
  readonly afterLane: string
  /** Lanes that have enough in flight here already. */
  readonly busyLanes: readonly string[]
  readonly leaseMs: number
  readonly leaseToken: string
}

/**
 * Claims fairly: walks the lanes that have ready work by a loose index scan and takes a share of each, so a lane with a
 * million rows costs its neighbours nothing. A lane whose subscription or integration is disabled is returned with no
 * delivery in it (`dead`): see `holdLane`.
 *
 * `offset 0` and `any (array(…))` keep the planner to look-ups by index, whatever it guesses a parameter's limit to be.
 */
const CLAIM = `
with recursive lane as (
  (
    select q.subscription_id, 1 as nth
    from patchbay.delivery_queue as q
    where q.ready and q.subscription_id > $4::uuid
    order by q.subscription_id
    limit 1
  )
  union all
  select next.subscription_id, lane.nth + 1
  from lane
  cross join lateral (
    select q.subscription_id
    from patchbay.delivery_queue as q
    where q.ready and q.subscription_id > lane.subscription_id
    order by q.subscription_id
    limit 1
  ) as next
  where lane.nth < $3::int
),
checked as materialized (
  select
    lane.subscription_id, s.revision as subscription_revision, i.revision as integration_revision,
    coalesce(s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null, false) as is_live
  from lane
  left join patchbay.webhook_subscriptions as s on s.id = lane.subscription_id
  left join patchbay.org_integrations as i on i.id = s.integration_id
  where lane.subscription_id <> all ($5::uuid[])
),
share as materialized (
  select least($2::int, greatest(1, ceil($1::float8 / greatest(1, count(*)))))::int as size
  from checked
  where is_live
),
picked as materialized (
  select q.id
  from checked
  cross join lateral (
    select q.id
    from patchbay.delivery_queue as q
    where q.ready and q.subscription_id = checked.subscription_id
    order by q.id
    limit (select size from share)
    for update skip locked
  ) as q
  where checked.is_live
  limit $1::int
),
leased as materialized (
  update patchbay.delivery_queue as q
  set ready = false, lease_token = $7::uuid, due_at = now() + make_interval(secs => $6::float8 / 1000)
  where q.id = any (array(select id from picked))
  returning q.*
)
select
  l.id as delivery_id, l.org_id, l.subscription_id, c.subscription_revision, c.integration_revision,
  l.lease_token, l.attempt, l.step::int as step, l.trigger, l.resume_at is not null as is_resumable, l.event_id,
  e.type, e.conversation_id, e.data, e.occurred_at,
  extract(epoch from now() - patchbay.id_time(l.event_id))::float8 as age_s
from leased as l
join checked as c using (subscription_id)
left join lateral (
  select o.type, o.conversation_id, o.data::text as data,
    to_char(o.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as occurred_at
  from patchbay.outbox_events as o
  where o.id = l.event_id
  offset 0
) as e on true
union all
select
  null, '', c.subscription_id, null, null, null, null, null, null, null, null, null, null, null, null, null
from checked as c
where not c.is_live`

export interface Claimed {
  readonly deliveries: ClaimedRow[]
  readonly deadLanes: string[]
}

export async function claimDue(db: Queryable, claim: Claim): Promise<Claimed> {
  const { rows } = await db.query<Omit<ClaimedRow, 'delivery_id'> & { delivery_id: string | null }>(
    {
      name: 'claim_due',
      text: CLAIM,
      values: [
        claim.slots,
        claim.perLane,
        claim.lanes,
        claim.afterLane,
        claim.busyLanes,
        claim.leaseMs,
        claim.leaseToken,
      ],
    },
  )
  const deliveries: ClaimedRow[] = []
  const deadLanes: string[] = []
  for (const row of rows) {
    if (row.delivery_id === null) deadLanes.push(row.subscription_id)
    else deliveries.push(row as ClaimedRow)
  }
  return { deliveries, deadLanes }
}

/**
 * Holds what is ready in a lane that nothing may be sent to, or cancels it where the subscription is deleted. The share
 * lock makes it one step with the check: who enables the subscription meanwhile waits, then resumes these rows too.
 */
const HOLD = `
with lane as materialized (
  select s.id
  from patchbay.webhook_subscriptions as s
  join patchbay.org_integrations as i on i.id = s.integration_id
  where s.id = $1 and not (s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null)
  for share of s, i skip locked
),
picked as materialized (
  select q.id
  from patchbay.delivery_queue as q
  where q.ready and q.subscription_id = (select id from lane)
  limit 1000
  for update skip locked
)
update patchbay.delivery_queue as q
set ready = false, due_at = 'infinity'
where q.id = any (array(select id from picked))
returning q.id`

const CANCEL_DELETED = `
with canceled as (
  delete from patchbay.delivery_queue as q
  where q.id in (
    select patchbay.owed_to(s.id) from patchbay.webhook_subscriptions as s
    where s.id = $1 and s.deleted_at is not null
  )
  returning q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.trigger
)
insert into patchbay.webhook_delivery_log
  (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, error, trigger)
select id, org_id, subscription_id, event_id, attempt, 'canceled', true, 'the subscription was deleted', trigger
from canceled`

/** An org that was deleted while one of its events was fanned out leaves rows that belong to nobody. */
const DROP_ORPHANS = `
delete from patchbay.delivery_queue as q
where q.id in (select patchbay.owed_to($1))
  and not exists (select from patchbay.webhook_subscriptions as s where s.id = $1)`

export async function holdLane(db: Queryable, subscriptionId: string): Promise<void> {
  await db.query({ name: 'hold_lane', text: HOLD, values: [subscriptionId] })
  await db.query({ name: 'cancel_deleted', text: CANCEL_DELETED, values: [subscriptionId] })
  await db.query({ name: 'drop_orphans', text: DROP_ORPHANS, values: [subscriptionId] })
}

/**
 * Makes ready what has come due: retries, and leases that ran out. A lease runs out when its worker died or was frozen;
 * that costs the endpoint nothing and the log says it.
 */
const PROMOTE = `
with due as materialized (
  select q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.trigger, q.lease_token
  from patchbay.delivery_queue as q
  where not q.ready and q.due_at <= coalesce($2::timestamptz, now())
  order by q.due_at
  limit $1
  for update skip locked
),
expired as (
  insert into patchbay.webhook_delivery_log
    (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, error, trigger)
  select id, org_id, subscription_id, event_id, attempt, 'interrupted', false,
    'the worker that held this delivery went away before it recorded an outcome', trigger
  from due
  where lease_token is not null
)
update patchbay.delivery_queue as q
set ready = true, lease_token = null
where q.id = any (array(select id from due))
returning q.id`

/** @param now null: the database's clock */
export async function promoteDue(db: Queryable, limit: number, now: Date | null = null) {
  const { rows } = await db.query({ name: 'promote_due', text: PROMOTE, values: [limit, now] })
  return rows.length
}

/** What a try does to its row: ends it, spends a step, costs nothing, or hands back to the schedule after a manual try. */
export type Next = 'final' | 'retry' | 'free' | 'resume'

export interface AttemptRecord {
  readonly deliveryId: string
  readonly leaseToken: string
  readonly attempt: number
  readonly trigger: Trigger
  readonly outcome: OutcomeKind
  readonly next: Next
  readonly afterMs: number
  readonly statusCode: number | null
  readonly durationMs: number | null
  readonly error: string | null
  readonly snippet: string | null
}

/**
 * Records many tries at once. Fenced: only where the row still carries the claim's token does anything happen. Health is
 * written when it changes, and at most every ten seconds while all goes well. 410 disables the subscription.
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
  where q.id = t.delivery_id and q.lease_token = t.lease_token and t.next = 'final'
  returning q.id, q.org_id, q.subscription_id, q.event_id
),
again as (
  update patchbay.delivery_queue as q
  set
    ready = false,
    lease_token = null,
    attempt = q.attempt + (t.next <> 'free')::int,
    step = q.step + (t.next = 'retry')::int,
    trigger = case t.next when 'resume' then 'schedule' else q.trigger end,
    resume_at = case t.next when 'resume' then null else q.resume_at end,
    due_at = case t.next
      when 'resume' then coalesce(q.resume_at, now())
      else now() + make_interval(secs => t.after_ms / 1000)
    end
  from tried as t
  where q.id = t.delivery_id and q.lease_token = t.lease_token and t.next <> 'final'
  returning q.id, q.org_id, q.subscription_id, q.event_id
),
settled as materialized (
  select s.org_id, s.subscription_id, s.event_id, t.*
  from (select * from ended union all select * from again) as s
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
sums as (
  select subscription_id, min(org_id) as org_id,
    bool_or(outcome = 'delivered') as has_delivered,
    count(*) filter (where outcome in ('failed', 'throttled', 'gone', 'blocked'))::int as failures
  from settled
  group by subscription_id
),
health as (
  insert into patchbay.subscription_health as h
    (subscription_id, org_id, consecutive_failures, first_failure_at, last_delivered_at, last_failed_at)
  select s.subscription_id, s.org_id,
    case when s.has_delivered then 0 else s.failures end,
    case when not s.has_delivered and s.failures > 0 then now() end,
    case when s.has_delivered then now() end,
    case when s.failures > 0 then now() end
  from sums as s
  left join patchbay.subscription_health as old using (subscription_id)
  where s.failures > 0
    or (s.has_delivered and (
      old.subscription_id is null or old.consecutive_failures > 0 or old.last_delivered_at is null
      or old.last_delivered_at < now() - interval '10 seconds'
    ))
  order by s.subscription_id
  on conflict (subscription_id) do update set
    consecutive_failures = case when excluded.last_delivered_at is not null then 0
      else h.consecutive_failures + excluded.consecutive_failures end,
    first_failure_at = case when excluded.last_delivered_at is not null then null
      else coalesce(h.first_failure_at, excluded.first_failure_at) end,
    last_delivered_at = coalesce(excluded.last_delivered_at, h.last_delivered_at),
    last_failed_at = coalesce(excluded.last_failed_at, h.last_failed_at)
),
disabled as (
  update patchbay.webhook_subscriptions as s
  set is_active = false, revision = s.revision + 1, updated_at = now(),
    disabled_reason = 'The receiver answered 410 Gone: it wants nothing more. Enable the subscription to start again.'
  where s.is_active and s.id in (select subscription_id from settled where outcome = 'gone')
)
select delivery_id from settled`

/** @returns the delivery ids that were recorded; the others were lost to another claim */
export async function recordAttempts(
  db: Queryable,
  records: readonly AttemptRecord[],
): Promise<Set<string>> {
  const column = <Key extends keyof AttemptRecord>(key: Key) => records.map((record) => record[key])
  const { rows } = await db.query<{ delivery_id: string }>({
    name: 'record_attempts',
    text: RECORD,
    values: [
      column('deliveryId'),
      column('leaseToken'),
      column('attempt'),
      column('trigger'),
      column('outcome'),
      column('next'),
      column('afterMs'),
      column('statusCode'),
      column('durationMs'),
      column('error'),
      column('snippet'),
    ],
  })
  return new Set(rows.map((row) => row.delivery_id))
}

export interface LaneRow {
  readonly subscription_id: string
  readonly org_id: string
  readonly provider_key: string
  readonly url: string
  readonly sealed_url: Buffer | null
  readonly secrets: Buffer
  readonly headers: Buffer | null
  readonly max_age_seconds: number | null
  readonly retry_schedule: number[] | null
  readonly content: 'thin' | 'full'
  readonly subscription_revision: number
  readonly integration_revision: number
}

const LANES = `
select
  s.id as subscription_id, s.org_id, i.provider_key, s.url, s.sealed_url, s.secrets, s.headers, s.max_age_seconds,
  s.retry_schedule, s.content, s.revision as subscription_revision, i.revision as integration_revision
from patchbay.webhook_subscriptions as s
join patchbay.org_integrations as i on i.id = s.integration_id
where s.id = any ($1::uuid[])`

export async function loadLanes(db: Queryable, ids: readonly string[]): Promise<LaneRow[]> {
  const { rows } = await db.query<LaneRow>({ name: 'load_lanes', text: LANES, values: [ids] })
  return rows
}
