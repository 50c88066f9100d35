import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { audit } from '../audit.ts'
import { type Bench, CONCURRENCY } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { isRunning } from '../is-running.ts'
import { startLoad } from '../load.ts'
import { answerProblems, describeAnswers } from './crash-postgres.ts'

const TOO_MANY_CONNECTIONS = '53300'
const MAX_SESSIONS = 300

/** Somebody else has every connection slot, and we have to come back without one. */
export const exhaustConnections: Fault = {
  id: 'F14',
  name: 'no connection slot is left',
  run: async (bench, size) => {
    await bench.subscribe('/slow/50/plain')
    const worker = await bench.startWorker()
    const api = await bench.startApi()
    const load = startLoad(bench, { perSecond: 60, api })
    // The load is under way.
    await sleep(1000)
    const sessions = await takeEverySlot(bench)
    const endAtMs = performance.now() + (size === 'full' ? 10_000 : 4000)
    while (performance.now() < endAtMs) {
      await cutProduct(sessions[0])
      sessions.push(...(await takeEverySlot(bench)))
      // The rhythm of the fault.
      await sleep(500)
    }
    await Promise.all(sessions.map((session) => session.end().catch(() => undefined)))
    const endedAtMs = performance.now()
    await sleep(1000)
    await load.stop()
    const dead = [worker, api.process].filter(({ pid }) => !isRunning(pid))
    const problems = dead.map((process) => `a process ended: ${process.output().slice(-300)}`)
    return audit(bench, {
      endedAtMs,
      maxDuplicates: CONCURRENCY,
      problems: [...problems, ...answerProblems(load)],
      notes: [`${sessions.length} sessions`, describeAnswers(load)],
    })
  },
}

async function takeEverySlot(bench: Bench): Promise<pg.Client[]> {
  const sessions: pg.Client[] = []
  while (sessions.length < MAX_SESSIONS) {
    const session = new pg.Client({
      connectionString: bench.database.url,
      application_name: 'somebody else',
    })
    session.on('error', () => undefined)
    try {
      await session.connect()
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === TOO_MANY_CONNECTIONS) break
      throw error
    }
    sessions.push(session)
  }
  return sessions
}

/** The product keeps what it has, so it is cut off: it must then do without. */
async function cutProduct(session: pg.Client | undefined): Promise<void> {
  await session?.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name like 'patchbay%'`,
  )
}
