import { createHash } from 'node:crypto'
import type { Pool } from 'pg'
import { RateLimiterPostgres } from 'rate-limiter-flexible'

const FORGET_AFTER_MS = 3_600_000
const CLOCK_SLACK_MS = 1000

/**
 * Counted windows in Postgres, one for all processes. A window is opened by the clock of the process that first counts in
 * it, so clocks that differ by some milliseconds move its ends by as much. A window that seems to last longer than any can was
 * opened by a clock that was wrong, and begins anew.
 *
 * A key is stored as a digest: the table needs to tell principals apart, not to know them.
 */
export function makeCount(pool: Pool) {
  const store = new RateLimiterPostgres({
    storeClient: pool,
    storeType: 'pool',
    schemaName: 'patchbay',
    tableName: 'rate_limits',
    tableCreated: true,
    // The worker's maintenance does it, once for all processes.
    clearExpiredByTimeout: false,
    keyPrefix: '',
    // Limits differ by key, so they are judged by who asks; the store only adds.
    points: 1,
    duration: 1,
  })
  return async (key: string, points: number, windowMs: number) => {
    const digest = createHash('sha256').update(key).digest('base64url')
    const seconds = windowMs / 1000
    const counted = await store.penalty(digest, points, { customDuration: seconds })
    if (counted.msBeforeNext <= windowMs + CLOCK_SLACK_MS) {
      return { total: counted.consumedPoints, resetMs: counted.msBeforeNext }
    }
    await store.set(digest, points, seconds)
    return { total: points, resetMs: windowMs }
  }
}

/** Deletes windows that ended an hour ago: no clock of ours is off by that much. */
export async function forgetWindows(pool: Pool, nowMs: number): Promise<void> {
  await pool.query('delete from patchbay.rate_limits where expire < $1', [nowMs - FORGET_AFTER_MS])
}
