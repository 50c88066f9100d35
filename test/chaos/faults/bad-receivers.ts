import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import { startBadReceivers } from '../bad-receivers.ts'
import type { Bench } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { readLatency } from '../latency.ts'
import { startLoad } from '../load.ts'
import { peakMegabytes, resetPeak } from '../memory.ts'

const HEALTHY_PATH = '/ok/healthy'
/** Beyond what the process takes idle: what all of them together may make it hold. */
const MAX_GROWTH_MEGABYTES = 80
const MAX_P99_MS = 1500
/** These did answer 200, and nobody read further than was needed. */
const ACCEPTED = new Set(['a gigabyte', 'a gzip bomb'])

/** Thirteen kinds of receivers that misbehave, beside one that does not. */
export const badReceivers: Fault = {
  id: 'F21-F33',
  name: 'receivers that stall, flood, lie and break off',
  run: async (bench, size) => {
    await using stack = new AsyncDisposableStack()
    const ports = await startBadReceivers(stack)
    await bench.subscribe(HEALTHY_PATH)
    const kinds = new Map<string, string>()
    for (const [kind, port] of Object.entries(ports)) {
      const url = `http://127.0.0.1:${port}/hook`
      kinds.set(await bench.subscribe('', { url, retrySchedule: Array(20).fill(1) }), kind)
    }
    // The default: many stalled attempts fit beside the healthy ones until their circuits open.
    const worker = await bench.startWorker({ WORKER_CONCURRENCY: '512' })
    const idleMegabytes = await resetPeak(worker.pid)
    const load = startLoad(bench, { perSecond: 20 })
    // The load runs beside them for a while, and longer than the longest attempt.
    await sleep(size === 'full' ? 30_000 : 7000)
    await load.stop()
    const endedAtMs = performance.now()
    const megabytes = await peakMegabytes(worker.pid)
    const problems = await outcomeProblems(bench, kinds)
    if (megabytes - idleMegabytes > MAX_GROWTH_MEGABYTES) {
      problems.push(`the worker grew from ${idleMegabytes} MB to ${megabytes} MB`)
    }
    const report = await audit(bench, { endedAtMs, maxDuplicates: 0, problems })
    const p99 = (await readLatency(bench, HEALTHY_PATH))(0.99)
    const late = p99 > MAX_P99_MS ? [`p99 of the healthy receiver is ${p99} ms`] : []
    return {
      ...report,
      problems: [...report.problems, ...late],
      notes: [
        `${idleMegabytes} MB idle, ${megabytes} MB at most; p99 of the healthy one ${p99} ms`,
      ],
    }
  },
}

/** Each kind was tried, and every try has the outcome it deserves and an error that a person can read. */
async function outcomeProblems(
  { database }: Bench,
  kinds: ReadonlyMap<string, string>,
): Promise<string[]> {
  const { rows } = await database.pool.query<{
    subscription_id: string
    outcome: string
    error: string | null
    count: number
  }>(
    `select subscription_id, outcome, error, count(*)::int as count from patchbay.webhook_delivery_log
     where subscription_id = any ($1::uuid[]) group by 1, 2, 3`,
    [[...kinds.keys()]],
  )
  const problems: string[] = []
  for (const [id, kind] of kinds) {
    const tries = rows.filter((row) => row.subscription_id === id)
    if (tries.length === 0) problems.push(`${kind}: never tried`)
    const expected = ACCEPTED.has(kind) ? 'delivered' : 'failed'
    for (const { outcome, error, count } of tries) {
      const isReadable = outcome === 'delivered' || /^[a-z0-9 ,:']{8,}$/i.test(error ?? '')
      if (outcome === expected && isReadable) continue
      problems.push(`${kind}: ${count} tries are ${outcome}, with the error ${error}`)
    }
  }
  return problems
}
