import type { Pool } from 'pg'
import type { Log } from '../telemetry/log.ts'

/** A vacuum after 33,000 takes 37 ms, one of half as many hardly less than half; each claim walks past all that it would take. */
const AFTER_OUTCOMES = 20_000
/** Of the time, at most; a queue of millions takes longer. */
const SHARE = 1 / 20
/** One that takes longer is not for us to wait for, nor for those who want to stop us: it is left to autovacuum. */
const TIMEOUT_MS = 5000
const AFTER_FAILURE_MS = 60_000
/** Told so often, while a snapshot holds them. */
const TELL_EVERY_MS = 60_000

/** Not cut: that locks out everybody, and the pages are needed again at once. */
const VACUUM =
  'vacuum (skip_locked, index_cleanup on, truncate off) patchbay.delivery_queue, patchbay.outbox_pending'
/** Of a vacuum that was ours: one that another worker had begun was not waited for. */
const COUNT_KEPT = `
select n_dead_tup::int as kept
from pg_stat_user_tables
where relid = 'patchbay.delivery_queue'::regclass and last_vacuum > $1`

interface TidyDeps {
  readonly pool: Pool
  readonly log: Pick<Log, 'warn'>
  readonly nowMs: () => number
}

/**
 * The queue turns over completely. What is gone from it stands in the way of each claim until the next vacuum, and Postgres looks
 * once a minute whether one is due, by default: a million deliveries without a pause ended at half the rate that they began with. So
 * who empties the queue tidies up. Of several workers one does it, and nobody waits for it.
 */
export function makeTidy({ pool, log, nowMs }: TidyDeps) {
  let outcomes = 0
  let working: Promise<void> | null = null
  let restsUntilMs = Number.NEGATIVE_INFINITY
  let toldAtMs = Number.NEGATIVE_INFINITY

  async function vacuum(): Promise<void> {
    const client = await pool.connect()
    let isBroken = true
    try {
      await client.query(`set statement_timeout = ${TIMEOUT_MS}`)
      const { rows: begun } = await client.query<{ at: string }>('select now()::text as at')
      await client.query(VACUUM)
      const { rows } = await client.query<{ kept: number }>(COUNT_KEPT, [begun[0]?.at])
      await client.query('reset statement_timeout')
      isBroken = false
      tellOf(rows[0]?.kept ?? 0)
    } finally {
      client.release(isBroken)
    }
  }

  /** Rows that somebody's snapshot may still see: a vacuum leaves them, and claims go past them. */
  function tellOf(keptRows: number): void {
    if (keptRows < AFTER_OUTCOMES || nowMs() - toldAtMs < TELL_EVERY_MS) return
    toldAtMs = nowMs()
    log.warn({ kept_rows: keptRows }, 'queue.snapshot_held')
  }

  async function work(): Promise<void> {
    const startedAtMs = nowMs()
    try {
      await vacuum()
      restsUntilMs = nowMs() + (nowMs() - startedAtMs) / SHARE
    } catch (error) {
      log.warn({ err: error }, 'queue.not_tidied')
      restsUntilMs = nowMs() + AFTER_FAILURE_MS
    } finally {
      working = null
    }
  }

  return {
    /** Outcomes were written. */
    recorded: (count: number): void => {
      outcomes += count
      if (outcomes < AFTER_OUTCOMES || working !== null || nowMs() < restsUntilMs) return
      outcomes = 0
      working = work()
    },

    settled: async (): Promise<void> => {
      await working
    },
  }
}
