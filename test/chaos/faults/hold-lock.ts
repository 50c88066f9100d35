import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import { CONCURRENCY } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { startLoad } from '../load.ts'

const WORKERS = 2
/** Of one worker process: hot, general, jobs. */
const POOLS = 4 + 10 + 3

/** An operator holds the queue's table while the world goes on. */
export const holdLock: Fault = {
  id: 'F15',
  name: 'an operator locks the queue',
  run: async (bench, size) => {
    await bench.subscribe('/slow/50/plain')
    for (let n = 0; n < WORKERS; n += 1) await bench.startWorker()
    const load = startLoad(bench, { perSecond: 80 })
    // The load is under way.
    await sleep(1000)
    const operator = await bench.database.pool.connect()
    await operator.query('begin')
    await operator.query('lock table patchbay.delivery_queue in access exclusive mode')
    const endAtMs = performance.now() + (size === 'full' ? 15_000 : 5000)
    let mostSessions = 0
    while (performance.now() < endAtMs) {
      const [row] = await bench.cluster.asAdmin<{ sessions: number }>(
        `select count(*)::int as sessions from pg_stat_activity
         where datname = $1 and application_name like 'patchbay%'`,
        [bench.databaseName],
      )
      mostSessions = Math.max(mostSessions, row?.sessions ?? 0)
      // Between two counts.
      await sleep(500)
    }
    await operator.query('commit')
    operator.release()
    const endedAtMs = performance.now()
    await load.stop()
    const isPiledUp = mostSessions > WORKERS * POOLS
    return audit(bench, {
      endedAtMs,
      maxDuplicates: WORKERS * CONCURRENCY,
      problems: isPiledUp ? [`${mostSessions} sessions piled up`] : [],
      notes: [`${mostSessions} sessions at most`],
    })
  },
}
