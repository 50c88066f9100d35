import type { Queryable } from '../db/pool.ts'
import type { Log } from '../telemetry/log.ts'

const AHEAD_DAYS = 14

interface MaintainDeps {
  readonly db: Queryable
  readonly log: Log
  readonly retentionDays: number
}

/**
 * Keeps the tables small: makes the partitions of the next days, drops those past their retention, and forgets idempotency
 * keys that have expired.
 */
export function makeMaintain({ db, log, retentionDays }: MaintainDeps) {
  return async function maintain(): Promise<void> {
    const { rows } = await db.query<{ made: number; dropped: number }>({
      text: `select patchbay.ensure_partitions($1) as made, patchbay.drop_old_partitions($2) as dropped`,
      values: [AHEAD_DAYS, retentionDays],
    })
    await db.query({ text: 'delete from patchbay.outbox_keys where expires_at < now()' })
    await db.query({
      text: `delete from patchbay.idempotency_keys where created_at < now() - interval '24 hours'`,
    })
    log.info({ ...rows[0] }, 'partitions.maintained')
  }
}
