import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { until } from '../../fixtures/process.ts'
import { audit } from '../audit.ts'
import { type Bench, CONCURRENCY, openBench } from '../bench.ts'
import { openCluster } from '../cluster.ts'
import type { Fault, Report } from '../fault.ts'
import { startLoad } from '../load.ts'

const LIBRARY = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1'
const HOUR_S = 3600
const STEADY_MS = 4000

/** The clock that JavaScript sees jumps; timers, which are monotonic, do not. */
export const jumpDate: Fault = {
  id: 'F45',
  name: "the worker's Date jumps an hour, both ways",
  run: async (bench) => {
    const file = join(bench.dir, 'offset')
    const preload = pathToFileURL(join(import.meta.dirname, '../preloads/shift-date.ts')).href
    const worker = bench.spawn('worker', {
      NODE_OPTIONS: `--import ${preload}`,
      CHAOS_OFFSET_FILE: file,
    })
    const report = await jump(bench, worker.output, async (offsetS) => {
      await writeFile(file, String(offsetS * 1000))
      worker.kill('SIGUSR2')
    })
    return withSkew(bench, report)
  },
}

/** The same below JavaScript, for all of the process. */
export const jumpWorkerClock: Fault = {
  id: 'F45b',
  name: "the worker's system clock jumps an hour, both ways",
  obstacle,
  run: async (bench) => {
    const file = join(bench.dir, 'faketime')
    await writeFile(file, '+0\n')
    const worker = bench.spawn('worker', faketime(file))
    const report = await jump(bench, worker.output, (offsetS) =>
      writeFile(file, `${toOffset(offsetS)}\n`),
    )
    return withSkew(bench, report)
  },
}

/** The clock that everything is due by. */
export const jumpPostgresClock: Fault = {
  id: 'F20',
  name: "Postgres' clock jumps an hour, both ways",
  obstacle,
  run: async ({ dir, seed }) => {
    const file = join(dir, 'faketime')
    await writeFile(file, '+0\n')
    await using cluster = await openCluster(faketime(file))
    await using bench = await openBench({ cluster, seed, name: 'chaos_clock' })
    const worker = bench.spawn('worker')
    const skews: number[] = []
    const report = await jump(bench, worker.output, async (offsetS) => {
      await writeFile(file, `${toOffset(offsetS)}\n`)
      await until('the clock has jumped', async () => {
        const [row] = await cluster.asAdmin<{ at: Date }>('select clock_timestamp() as at')
        const skewS = ((row?.at.getTime() ?? 0) - Date.now()) / 1000
        skews.push(skewS)
        return Math.abs(skewS - offsetS) < 60
      })
    })
    return { ...report, notes: [describeSkew(skews)] }
  },
}

/** An hour forward, and back again: what is leased at a jump may run out at once. */
async function jump(
  bench: Bench,
  output: () => string,
  setOffset: (offsetS: number) => Promise<void>,
) {
  await until('the worker has started', () => output().includes('service.started'))
  await bench.subscribe('/slow/100/plain')
  const load = startLoad(bench, { perSecond: 60 })
  for (const offsetS of [0, HOUR_S, 0, -HOUR_S, 0]) {
    await setOffset(offsetS)
    // It works with that clock for a while.
    await sleep(STEADY_MS)
  }
  await load.stop()
  const endedAtMs = performance.now()
  const { rows } = await bench.database.pool.query<{ count: number }>(
    'select count(*)::int as count from patchbay.webhook_delivery_log where duration_ms < 0',
  )
  const negative = rows[0]?.count ?? 0
  return audit(bench, {
    endedAtMs,
    maxDuplicates: 4 * CONCURRENCY,
    problems: negative === 0 ? [] : [`${negative} tries took less than no time`],
  })
}

/** A clock that did not jump would prove nothing: the receiver has seen the timestamps. */
async function withSkew(bench: Bench, report: Report): Promise<Report> {
  const skews = (await bench.receiver.read()).map((copy) => copy.skewS)
  const hasJumped = Math.max(...skews) > HOUR_S / 2 && Math.min(...skews) < -HOUR_S / 2
  const problems = hasJumped ? report.problems : [...report.problems, 'the clock did not jump']
  return { ...report, problems, notes: [describeSkew(skews)] }
}

function describeSkew(skews: readonly number[]): string {
  return `off by ${Math.round(Math.min(...skews))} to ${Math.round(Math.max(...skews))} s`
}

function obstacle(): string | null {
  return existsSync(LIBRARY)
    ? null
    : 'libfaketime is not installed (Debian: apt-get install faketime)'
}

/** @param file holds the offset, which is read anew while the process runs */
function faketime(file: string): Record<string, string> {
  return {
    LD_PRELOAD: LIBRARY,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: '1',
    // Timers stay true: only the wall clock jumps.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  }
}

function toOffset(seconds: number): string {
  return `${seconds < 0 ? '' : '+'}${seconds}`
}
