import type pg from 'pg'
import { cpuOf, cpuOfPostgres } from './cpu.ts'

/** How far everything that costs had come at one moment. Seconds and bytes, since whenever. */
export interface Mark {
  readonly workers: number
  readonly postgres: number
  readonly receiver: number
  readonly wal: number
  readonly tables: number
}

/** Of this database: what a delivery leaves behind, or passes through. Log and processor time are the whole server's, with what idle sides ask. */
const LOOK = `
select pg_backend_pid() as backend,
  (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8 as wal,
  (
    select sum(pg_total_relation_size(c.oid))::float8
    from pg_class as c
    where c.relnamespace = 'patchbay'::regnamespace and c.relkind = 'r'
      and c.relname ~ '^(outbox_events|outbox_pending|webhook_delivery_log|delivery_queue)'
  ) as tables`

interface Pids {
  readonly workers: readonly number[]
  readonly receiver: number
}

export async function takeMark(pool: pg.Pool, pids: Pids): Promise<Mark> {
  const { rows } = await pool.query<{ backend: number; wal: number; tables: number }>(LOOK)
  const [row] = rows
  if (row === undefined) throw new Error('a look returned no row')
  return {
    workers: pids.workers.reduce((sum, pid) => sum + cpuOf(pid), 0),
    postgres: cpuOfPostgres(row.backend),
    receiver: cpuOf(pids.receiver),
    wal: row.wal,
    tables: row.tables,
  }
}
