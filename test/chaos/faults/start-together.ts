import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../fixtures/process.ts'
import { audit } from '../audit.ts'
import type { Fault } from '../fault.ts'
import { isRunning } from '../is-running.ts'
import { startLoad } from '../load.ts'

const WORKERS = 8

/** A first deploy of many: all of them find an empty database at the same moment. */
export const startTogether: Fault = {
  id: 'F10',
  name: 'eight workers start on an empty database',
  needsEmpty: true,
  run: async (bench, size) => {
    const workers = Array.from({ length: WORKERS }, () => bench.spawn('worker'))
    const areUp = () => workers.every((worker) => worker.output().includes('service.started'))
    await until('all have started', areUp)
    await bench.database.addOrg(bench.orgId)
    await bench.subscribe('/slow/50/plain')
    const load = startLoad(bench, { perSecond: 120 })
    // They share the work for a while.
    await sleep(size === 'full' ? 10_000 : 3000)
    await load.stop()
    const endedAtMs = performance.now()
    const [row] = await bench.cluster.asAdmin<{ deadlocks: number }>(
      'select deadlocks::int as deadlocks from pg_stat_database where datname = $1',
      [bench.databaseName],
    )
    const dead = workers.filter(({ pid }) => !isRunning(pid))
    const problems = dead.map((process) => `a worker ended: ${process.output().slice(-300)}`)
    if (row?.deadlocks !== 0) problems.push(`${row?.deadlocks} deadlocks`)
    return audit(bench, { endedAtMs, maxDuplicates: 0, problems })
  },
}
