import { AppError } from '../core/error.ts'
import type { InOrg } from '../db/tenants.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

export interface Stats {
  readonly since: string
  /** Deliveries that ended in the window, by their end. */
  readonly delivered: number
  readonly failed: number
  readonly expired: number
  readonly canceled: number
  /** Now. */
  readonly owed: number
  /** Tries in the window, and how long those took that had an answer or a timeout. */
  readonly attempts: number
  readonly failedAttempts: number
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  readonly bucketSeconds: number
  readonly buckets: Bucket[]
}

export interface Bucket {
  readonly start: string
  readonly delivered: number
  readonly failed: number
  readonly attempts: number
  readonly failedAttempts: number
}

/** Few enough to draw, fine enough to see when it broke. */
export function bucketMsOf(windowMs: number): number {
  if (windowMs <= 2 * HOUR_MS) return MINUTE_MS
  if (windowMs <= 3 * DAY_MS) return HOUR_MS
  return DAY_MS
}

/**
 * The log of one subscription within a window, counted by bucket. A delivery that was retried by hand after its end counts by
 * its newest end.
 */
const STATS = `
with tries as materialized (
  select l.delivery_id, l.outcome, l.duration_ms, l.created_at,
    l.outcome in ('failed', 'throttled', 'gone', 'blocked') as is_failure,
    l.outcome not in ('expired', 'canceled', 'interrupted') as is_try,
    l.is_final and not exists (
      select from patchbay.webhook_delivery_log as later
      where later.org_id = l.org_id and later.delivery_id = l.delivery_id and later.is_final and later.created_at > l.created_at
    ) as is_end
  from patchbay.webhook_delivery_log as l
  where l.org_id = $1 and l.subscription_id = $2 and l.created_at >= $3
)
select
  null::timestamptz as start,
  count(*) filter (where is_end and outcome = 'delivered')::int as delivered,
  count(*) filter (where is_end and is_failure)::int as failed,
  count(*) filter (where is_end and outcome = 'expired')::int as expired,
  count(*) filter (where is_end and outcome = 'canceled')::int as canceled,
  count(*) filter (where is_try)::int as attempts,
  count(*) filter (where is_failure)::int as failed_attempts,
  percentile_disc(0.5) within group (order by duration_ms) filter (where is_try) as p50_ms,
  percentile_disc(0.99) within group (order by duration_ms) filter (where is_try) as p99_ms,
  (select count(*) from patchbay.owed_to($2))::int as owed
from tries
union all
select b.start, coalesce(c.delivered, 0), coalesce(c.failed, 0), 0, 0, coalesce(c.attempts, 0), coalesce(c.failed_attempts, 0),
  null, null, 0
from generate_series($4::timestamptz, now(), make_interval(secs => $5)) as b (start)
left join (
  select
    date_bin(make_interval(secs => $5), created_at, $4) as start,
    count(*) filter (where is_end and outcome = 'delivered')::int as delivered,
    count(*) filter (where is_end and is_failure)::int as failed,
    count(*) filter (where is_try)::int as attempts,
    count(*) filter (where is_failure)::int as failed_attempts
  from tries
  group by 1
) as c using (start)
order by start nulls first`

interface StatsRow {
  readonly start: Date | null
  readonly delivered: number
  readonly failed: number
  readonly expired: number
  readonly canceled: number
  readonly attempts: number
  readonly failed_attempts: number
  readonly p50_ms: number | null
  readonly p99_ms: number | null
  readonly owed: number
}

interface StatsDeps {
  readonly inOrg: InOrg
  readonly nowMs: () => number
  readonly retentionDays: number
}

/** How a subscription does. `since` defaults to a day ago and reaches back to the retention at most. */
export function makeStats({ inOrg, nowMs, retentionDays }: StatsDeps) {
  return async (orgId: string, webhookId: string, since: Date | null): Promise<Stats> => {
    const now = nowMs()
    if (since !== null && since.getTime() > now) {
      const message = 'is in the future'
      throw new AppError('INVALID_QUERY', `since: ${message}`, {
        details: [{ path: 'since', message }],
      })
    }
    const fromMs = Math.max(since?.getTime() ?? now - DAY_MS, now - retentionDays * DAY_MS)
    const bucketMs = bucketMsOf(now - fromMs)
    const firstMs = Math.floor(fromMs / bucketMs) * bucketMs
    const values = [orgId, webhookId, new Date(fromMs), new Date(firstMs), bucketMs / 1000]
    const { rows } = await inOrg(orgId, (_, db) =>
      db.query<StatsRow & Record<string, unknown>>({ text: STATS, values }),
    )
    const [total, ...buckets] = rows
    return {
      since: new Date(fromMs).toISOString(),
      delivered: total?.delivered ?? 0,
      failed: total?.failed ?? 0,
      expired: total?.expired ?? 0,
      canceled: total?.canceled ?? 0,
      owed: total?.owed ?? 0,
      attempts: total?.attempts ?? 0,
      failedAttempts: total?.failed_attempts ?? 0,
      p50Ms: total?.p50_ms ?? null,
      p99Ms: total?.p99_ms ?? null,
      bucketSeconds: bucketMs / 1000,
      buckets: buckets.map(toBucket),
    }
  }
}

function toBucket(row: StatsRow): Bucket {
  return {
    start: row.start?.toISOString() ?? '',
    delivered: row.delivered,
    failed: row.failed,
    attempts: row.attempts,
    failedAttempts: row.failed_attempts,
  }
}
