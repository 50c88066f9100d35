import type { Queryable } from '../db/pool.ts'
import type { Log } from '../telemetry/log.ts'

const AHEAD_DAYS = 14
/** Rows at most in one statement of the few deletes that are left. */
const BATCH = 5000

interface MaintainDeps {
  readonly db: Queryable
  readonly log: Log
  readonly retentionDays: number
}

/** What goes by its age, a batch a statement: ledgers that no partition can hold, and what only explains days that are gone. */
const FORGET = {
  outbox_keys: 'expires_at < now()',
  idempotency_keys: `created_at < now() - interval '24 hours'`,
  recoveries: 'created_at < now() - make_interval(days => $1)',
  subscription_states: `at < now() - make_interval(days => $1) and exists (
    select from patchbay.subscription_states as later
    where later.subscription_id = t.subscription_id and later.at > t.at and later.at < now() - make_interval(days => $1)
  )`,
  // What was seen keeps a request from being taken twice: longer than any timestamp is good. What waits is owed.
  inbound_events: `created_at < now() - make_interval(days => greatest($1, 2)) and state <> 'waiting'`,
  app_installs: 'expires_at < now()',
  // A call may wait for a month.
  tool_approvals: `created_at < now() - make_interval(days => greatest($1, 31)) and is_done`,
  // Nothing that it has signed is good any more.
  context_keys: `retired_at < now() - interval '1 day'`,
} as const

/**
 * Keeps the tables small: makes the partitions of the next days; ends, visibly, what is owed past the retention; drops the
 * days past it; and forgets what has expired in the small ledgers.
 */
export function makeMaintain({ db, log, retentionDays }: MaintainDeps) {
  async function one<Value>(expression: string, ...values: unknown[]): Promise<Value | null> {
    const { rows } = await db.query<{ value: Value | null }>({
      text: `select ${expression} as value`,
      values,
    })
    return rows[0]?.value ?? null
  }

  async function expire(): Promise<number> {
    let expired = 0
    for (let batch = BATCH; batch === BATCH; expired += batch) {
      batch = (await one<number>('patchbay.expire_owed($1, $2)', retentionDays, BATCH)) ?? 0
    }
    return expired
  }

  async function drop(): Promise<string[]> {
    const dropped: string[] = []
    for (;;) {
      const name = await one<string>('patchbay.drop_old_partition($1)', retentionDays)
      if (name === null) return dropped
      dropped.push(name)
    }
  }

  async function forget(table: string, condition: string): Promise<void> {
    const values = condition.includes('$1') ? [retentionDays] : []
    const text = `delete from patchbay.${table} as t where t.ctid = any (array(
      select t.ctid from patchbay.${table} as t where ${condition} limit ${BATCH}
    ))`
    while ((await db.query({ text, values })).rowCount === BATCH);
  }

  return async function maintain(): Promise<void> {
    const made = await one<number>('patchbay.ensure_partitions($1)', AHEAD_DAYS)
    const expired = await expire()
    const dropped = await drop()
    for (const [table, condition] of Object.entries(FORGET)) await forget(table, condition)
    log.info({ made, dropped, expired }, 'partitions.maintained')
  }
}
