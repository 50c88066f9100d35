import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import { CONCURRENCY } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { isRunning } from '../is-running.ts'
import { startLoad } from '../load.ts'
import { answerProblems, describeAnswers } from './crash-postgres.ts'

const EVERY_MS = 200

/** Every connection, ours and the producers', is cut five times a second: statements end without an answer. */
export const terminateConnections: Fault = {
  id: 'F13',
  name: 'pg_terminate_backend of every connection',
  run: async (bench, size) => {
    await bench.subscribe('/slow/50/plain')
    const worker = await bench.startWorker()
    const api = await bench.startApi()
    const load = startLoad(bench, { perSecond: 100, api })
    const endAtMs = performance.now() + (size === 'full' ? 20_000 : 5000)
    let cut = 0
    while (performance.now() < endAtMs) {
      const rows = await bench.cluster.asAdmin(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1',
        [bench.databaseName],
      )
      cut += rows.length
      // The rhythm of the fault.
      await sleep(EVERY_MS)
    }
    const endedAtMs = performance.now()
    await load.stop()
    const dead = [worker, api.process].filter(({ pid }) => !isRunning(pid))
    const problems = dead.map((process) => `a process ended: ${process.output().slice(-300)}`)
    return audit(bench, {
      endedAtMs,
      maxDuplicates: Math.ceil(cut / 4) + CONCURRENCY,
      problems: [...problems, ...answerProblems(load)],
      notes: [`${cut} connections cut`, describeAnswers(load)],
    })
  },
}
