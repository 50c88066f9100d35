import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { makeControl } from './control.ts'
import type { Child } from './processes.ts'

const LOOK_MS = 25
/** How often the database is asked although not everything has come: what is lost does not come. */
const DOUBT_MS = 1000
const TIMEOUT_MS = 240_000

interface Waiting {
  readonly control: ReturnType<typeof makeControl>
  readonly workers: readonly Child<unknown>[]
  readonly isOwed: () => Promise<boolean>
  /** For the error, when it takes too long. */
  readonly describe: () => Promise<string>
  readonly signal: AbortSignal
}

/**
 * Resolves when nothing is owed any more. While webhooks are still to come the receiver is asked, which costs nothing; then the
 * database, which is where the outcomes are.
 *
 * @param expected webhooks since the receiver's last reset
 * @throws when a worker has ended, and after four minutes
 */
export async function untilNothingIsOwed(waiting: Waiting, expected: number): Promise<void> {
  const startedAt = performance.now()
  let askedAt = startedAt
  for (;;) {
    const now = performance.now()
    if ((await waiting.control.counts()).received >= expected || now - askedAt > DOUBT_MS) {
      askedAt = now
      if (!(await waiting.isOwed())) return
      for (const worker of waiting.workers) worker.assertRunning()
      if (now - startedAt > TIMEOUT_MS) {
        throw new Error(`not done after ${TIMEOUT_MS / 1000} s: ${await waiting.describe()}`)
      }
    }
    await sleep(LOOK_MS, undefined, { signal: waiting.signal })
  }
}

const IS_OWED = `
select exists (select from patchbay.outbox_pending) or exists (select from patchbay.delivery_queue) as is_owed`

/** What is ready, and what is leased: nothing of a lane that is well waits. */
const IS_OWED_TO = `
select exists (select from patchbay.outbox_pending)
  or exists (select from patchbay.delivery_queue as q where q.ready and q.subscription_id = any ($1::uuid[]))
  or exists (
    select from patchbay.delivery_queue as q
    where not q.ready and q.due_at < now() + interval '5 minutes'
      and q.lease_token is not null and q.subscription_id = any ($1::uuid[])
  ) as is_owed`

/** @param to subscriptions; null: all */
export function owedTo(to: readonly string[] | null): pg.QueryConfig {
  return to === null ? { text: IS_OWED } : { text: IS_OWED_TO, values: [to] }
}

export function makeIsOwed(pool: pg.Pool, query: pg.QueryConfig) {
  return async (): Promise<boolean> => {
    const { rows } = await pool.query<{ is_owed: boolean }>(query)
    return rows[0]?.is_owed === true
  }
}

/** What is stuck where, and what the database is at. */
export async function describeBacklog(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ owed: unknown; running: unknown }>(`
    select
      (select json_build_object(
        'pending', (select count(*) from patchbay.outbox_pending),
        'ready', count(*) filter (where ready),
        'leased', count(*) filter (where not ready and lease_token is not null),
        'waiting', count(*) filter (where not ready and lease_token is null)
      ) from patchbay.delivery_queue) as owed,
      (select json_agg(json_build_array(now() - query_start, wait_event, left(query, 60)))
        from pg_stat_activity
        where datname = current_database() and state = 'active' and pid <> pg_backend_pid()) as running`)
  const { owed, running } = rows[0] ?? {}
  return `${JSON.stringify(owed)}, running ${JSON.stringify(running)}`
}
