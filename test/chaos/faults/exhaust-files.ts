import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { audit } from '../audit.ts'
import { CONCURRENCY } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { isRunning } from '../is-running.ts'
import { startLoad } from '../load.ts'

const exec = promisify(execFile)
const FEW_FILES = 48
const MANY_FILES = 4096

/** The worker runs out of file descriptors: no socket can be opened, to receivers or to Postgres. */
export const exhaustFiles: Fault = {
  id: 'F44',
  name: 'no file descriptor is left',
  run: async (bench, size) => {
    await bench.subscribe('/slow/1000/plain')
    const worker = await bench.startWorker()
    await limitFiles(worker.pid, FEW_FILES)
    const load = startLoad(bench, { perSecond: 60 })
    // Longer than it takes to use them up.
    await sleep(size === 'full' ? 10_000 : 4000)
    await load.stop()
    await limitFiles(worker.pid, MANY_FILES)
    const endedAtMs = performance.now()
    const problems = isRunning(worker.pid)
      ? []
      : [`the worker ended: ${worker.output().slice(-300)}`]
    const report = await audit(bench, { endedAtMs, maxDuplicates: CONCURRENCY, problems })
    const { rows } = await bench.database.pool.query<{
      outcome: string
      error: string
      count: number
    }>(
      `select outcome, error, count(*)::int as count from patchbay.webhook_delivery_log
       where outcome <> 'delivered' group by 1, 2 order by 3 desc`,
    )
    const tries = rows.map(({ outcome, error, count }) => `${count} ${outcome}: ${error}`)
    // Our trouble is not the endpoint's failure.
    const charged = rows.filter((row) => row.outcome === 'failed' && row.error.includes('EMFILE'))
    const blamed = charged.map(
      (row) => `${row.count} tries are charged to the endpoint: ${row.error}`,
    )
    const hasInjected = rows.some(
      (row) => row.error.includes('EMFILE') || row.outcome === 'interrupted',
    )
    const weak = hasInjected ? [] : ['the limit was never met']
    return { ...report, problems: [...report.problems, ...blamed, ...weak], notes: tries }
  },
}

async function limitFiles(pid: number, count: number): Promise<void> {
  await exec('prlimit', ['--pid', String(pid), `--nofile=${count}:${MANY_FILES}`])
}
