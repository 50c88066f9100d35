import type { Measured } from '../end-to-end.ts'
import type { Mark } from '../marks.ts'
import type { Stage } from '../part.ts'

const MB = 1024 * 1024
const MILLION = 1_000_000

/**
 * What a delivery costs. Processor time from the commit of the events to the last outcome, so without their emit; log and table
 * growth with it, because an event is kept.
 */
export function noteCosts(stage: Stage, { deliveries, marks, perSecond }: Measured): void {
  const { before, emitted, end } = marks
  const growth = (of: 'wal' | 'tables') => ((end[of] - before[of]) / MB / deliveries) * MILLION
  const { noteFact } = stage
  const cpu = cpuOf(emitted, end, deliveries)
  const rate = 'deliveries a second, 20 lanes'
  noteFact({ name: 'deliveries_per_second', title: rate, value: perSecond, unit: '/s' })
  noteCpu(stage, 'worker', 'CPU of a delivery: worker', cpu('workers'))
  noteCpu(stage, 'postgres', 'CPU of a delivery: Postgres', cpu('postgres'))
  noteCpu(stage, 'receiver', 'CPU of a delivery: our receiver', cpu('receiver'))
  const tables = 'tables and indexes of a million deliveries'
  noteFact({ name: 'table_growth', title: tables, value: growth('tables'), unit: 'MB' })
  const log = 'write-ahead log of a million deliveries'
  noteFact({ name: 'wal', title: log, value: growth('wal'), unit: 'MB' })
}

/** The same of the baseline. */
export function noteBaselineCosts(stage: Stage, { deliveries, marks }: Measured): void {
  const cpu = cpuOf(marks.emitted, marks.end, deliveries)
  noteCpu(stage, 'pg_boss_worker', 'CPU of a delivery by pg-boss: worker', cpu('workers'))
  noteCpu(stage, 'pg_boss_postgres', 'CPU of a delivery by pg-boss: Postgres', cpu('postgres'))
}

const cpuOf =
  (from: Mark, to: Mark, deliveries: number) => (of: 'workers' | 'postgres' | 'receiver') =>
    ((to[of] - from[of]) / deliveries) * MILLION

function noteCpu(stage: Stage, of: string, title: string, value: number): void {
  // Where there is no /proc nobody can tell.
  if (value > 0) stage.noteFact({ name: `cpu_${of}`, title, value, unit: 'µs' })
}
