import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../fixtures/process.ts'
import { audit } from '../audit.ts'
import { type Bench, CONCURRENCY } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { type Load, NEVER_ACCEPTED, startLoad } from '../load.ts'

const WORKERS = 2

/** An immediate shutdown: no checkpoint, every session cut. What was acknowledged is there afterwards. */
export const crashPostgres: Fault = {
  id: 'F11',
  name: 'immediate shutdown of Postgres, again and again',
  run: (bench, size) =>
    underLoad(bench, async () => {
      const endAtMs = performance.now() + (size === 'full' ? 60_000 : 5000)
      const longestUpMs = size === 'full' ? 5000 : 2000
      let crashes = 0
      while (performance.now() < endAtMs) {
        // The rhythm of the fault: up for a while, then away for a while.
        await sleep(bench.dice.between(1000, longestUpMs))
        await bench.cluster.stopAtOnce()
        await sleep(bench.dice.between(0, 2000))
        await bench.cluster.start()
        crashes += 1
      }
      return crashes
    }),
}

/** One backend dies the hard way, so the whole cluster throws its sessions out and recovers. */
export const killBackend: Fault = {
  id: 'F12',
  name: 'SIGKILL of one Postgres backend',
  run: (bench, size) =>
    underLoad(bench, async () => {
      const kills = size === 'full' ? 5 : 1
      for (let kill = 0; kill < kills; kill += 1) {
        // The rhythm of the fault.
        await sleep(bench.dice.between(1000, 3000))
        const [backend] = await bench.cluster.asAdmin<{ pid: number }>(
          `select pid from pg_stat_activity where datname = $1 and application_name like 'patchbay%' limit 1`,
          [bench.databaseName],
        )
        if (backend === undefined) throw new Error('the product has no connection')
        process.kill(backend.pid, 'SIGKILL')
        await until('Postgres has recovered', bench.cluster.isUp)
      }
      return kills
    }),
}

/** Two workers, the API and all kinds of producers; each crash may repeat what was in flight. */
async function underLoad(bench: Bench, inject: () => Promise<number>) {
  await bench.subscribe('/slow/50/plain')
  for (let n = 0; n < WORKERS; n += 1) await bench.startWorker()
  const load = startLoad(bench, { perSecond: 100, api: await bench.startApi() })
  const crashes = await inject()
  const endedAtMs = performance.now()
  // Producers go on after the fault.
  await sleep(1000)
  await load.stop()
  return audit(bench, {
    endedAtMs,
    maxDuplicates: crashes * WORKERS * CONCURRENCY,
    problems: answerProblems(load),
    notes: [`${crashes} crashes`, describeAnswers(load)],
  })
}

/** 409: the first request of that key is still running. The client repeats it, and it has to end. */
const FINE_ANSWERS = new Set<number | string>([202, 409, 503])

/** While the database is away the API says so, accepts nothing that it cannot keep, and forgets no key for good. */
export function answerProblems(load: Load): string[] {
  const problems: string[] = []
  for (const [answer, count] of load.answers) {
    if (answer === NEVER_ACCEPTED) problems.push(`${count} keys were never accepted again`)
    else if (!FINE_ANSWERS.has(answer)) problems.push(`the API answered ${answer}, ${count} times`)
  }
  return problems
}

export function describeAnswers(load: Load): string {
  return `answers: ${[...load.answers].map(([answer, count]) => `${answer} ${count}`).join(', ')}`
}
