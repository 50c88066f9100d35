import type { Measured } from '../end-to-end.ts'
import type { Mark } from '../marks.ts'
import type { Fact, Stage } from '../part.ts'

const MB = 1024 * 1024
const MILLION = 1_000_000

/**
 * What a delivery costs. Processor time from the commit of the events to the last outcome, so without their emit; log and table
 * growth with it, because an event is kept.
 */
export function noteCosts(stage: Stage, { deliveries, marks, perSecond }: Measured): void {
  const { before, emitted, end } = marks
  const cpu = (of: 'workers' | 'postgres' | 'receiver') =>
    ((end[of] - emitted[of]) / deliveries) * MILLION
  const growth = (of: keyof Mark) => ((end[of] - before[of]) / MB / deliveries) * MILLION
  const facts: Fact[] = [
    {
      name: 'deliveries_per_second',
      title: 'deliveries a second, 20 lanes',
      value: perSecond,
      unit: '/s',
    },
    { name: 'cpu_worker', title: 'CPU of a delivery: worker', value: cpu('workers'), unit: 'µs' },
    {
      name: 'cpu_postgres',
      title: 'CPU of a delivery: Postgres',
      value: cpu('postgres'),
      unit: 'µs',
    },
    {
      name: 'cpu_receiver',
      title: 'CPU of a delivery: our receiver',
      value: cpu('receiver'),
      unit: 'µs',
    },
    {
      name: 'table_growth',
      title: 'tables and indexes, a million deliveries',
      value: growth('tables'),
      unit: 'MB',
    },
    {
      name: 'wal',
      title: 'write-ahead log, a million deliveries',
      value: growth('wal'),
      unit: 'MB',
    },
  ]
  for (const fact of facts) stage.noteFact(fact)
}
