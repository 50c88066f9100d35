import type { Pool } from 'pg'
import type { Log } from '../telemetry/log.ts'

/** A vacuum after 33,000 takes 37 ms, one of half as many hardly less than half; each claim walks past all that it would take. */
const AFTER_OUTCOMES = 20_000
/** Of the time of a worker, at most; a queue of millions takes longer. */
const SHARE = 1 / 20
const AFTER_FAILURE_MS = 60_000
/** The queue is too large for who has other work: autovacuum takes as long as it needs. */
const AFTER_TIMEOUT_MS = 600_000
const CANCELED = '57014'

/** More than can have gone while a vacuum was under way. */
const MANY_DEAD_ROWS = 100_000
const TELL_EVERY_MS = 60_000

interface TidyDeps {
  /** Returns how many dead rows it had to leave; null: it was not needed, or another worker is at it. */
  readonly vacuum: () => Promise<number | null>
  readonly log: Pick<Log, 'warn'>
  readonly nowMs: () => number
  /** Of the process: none is begun any more. */
  readonly signal: AbortSignal
}

/**
 * The queue turns over completely. What is gone from it stands in the way of each claim until the next vacuum, and Postgres looks
 * once a minute whether one is due, by default: a million deliveries without a pause ended at half the rate that they began with. So
 * who empties the queue tidies up. Nobody waits for it.
 */
export function makeTidy({ vacuum, log, nowMs, signal }: TidyDeps) {
  let outcomes = 0
  let working: Promise<void> | null = null
  let restsUntilMs = Number.NEGATIVE_INFINITY
  let toldAtMs = Number.NEGATIVE_INFINITY

  function tellOf(deadRows: number): void {
    if (deadRows < MANY_DEAD_ROWS || nowMs() - toldAtMs < TELL_EVERY_MS) return
    toldAtMs = nowMs()
    log.warn({ dead_rows: deadRows }, 'queue.dead_rows')
  }

  async function work(): Promise<void> {
    const startedAtMs = nowMs()
    try {
      const left = await vacuum()
      if (left === null) return
      restsUntilMs = nowMs() + (nowMs() - startedAtMs) / SHARE
      tellOf(left)
    } catch (error) {
      log.warn({ err: error }, 'queue.not_tidied')
      restsUntilMs = nowMs() + (isTimeout(error) ? AFTER_TIMEOUT_MS : AFTER_FAILURE_MS)
    } finally {
      working = null
    }
  }

  return {
    /** Outcomes were written, or given up. */
    recorded: (count: number): void => {
      outcomes += count
      const isDue = outcomes >= AFTER_OUTCOMES && nowMs() >= restsUntilMs
      if (!isDue || working !== null || signal.aborted) return
      outcomes = 0
      working = work()
    },

    settled: async (): Promise<void> => {
      await working
    },
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === CANCELED
}

/** Of a session: while one worker is at it, another's vacuum would be skipped, and Postgres's log would say so each time. */
const LOCK = `select pg_try_advisory_lock(hashtext('patchbay.tidy')) as is_mine, now()::text as at`
const UNLOCK = `select pg_advisory_unlock(hashtext('patchbay.tidy'))`

const COUNT_DEAD = `
select n_dead_tup::int as dead, coalesce(last_vacuum > $1, false) as is_vacuumed
from pg_stat_user_tables
where relid = 'patchbay.delivery_queue'::regclass`

/** Not cut: that locks out everybody, and the pages are needed again at once. */
const VACUUM =
  'vacuum (skip_locked, index_cleanup on, truncate off) patchbay.outbox_pending, patchbay.delivery_queue'

/**
 * Takes out of the queue, and of what was pending, what is gone.
 *
 * @param pool its sessions end what takes too long (`statement_timeout`)
 * @returns how many dead rows it had to leave; null: there are few, or somebody else is at it
 */
export async function vacuumQueue(pool: Pool): Promise<number | null> {
  const client = await pool.connect()
  // An error ends the session, and the lock with it.
  let isBroken = true
  try {
    const { rows: locked } = await client.query<{ is_mine: boolean; at: string }>(LOCK)
    const [lock] = locked
    let left: number | null = null
    if (lock?.is_mine === true) {
      const count = async () =>
        (await client.query<{ dead: number; is_vacuumed: boolean }>(COUNT_DEAD, [lock.at])).rows[0]
      const before = await count()
      if (before !== undefined && before.dead >= AFTER_OUTCOMES) {
        await client.query(VACUUM)
        const after = await count()
        left = after?.is_vacuumed === true ? after.dead : null
      }
      await client.query(UNLOCK)
    }
    isBroken = false
    return left
  } finally {
    client.release(isBroken)
  }
}
