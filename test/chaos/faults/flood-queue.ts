import { setTimeout as sleep } from 'node:timers/promises'
import { fanOut } from '../../../src/outbox/relay.ts'
import { audit } from '../audit.ts'
import type { Fault, Size } from '../fault.ts'
import { readLatency } from '../latency.ts'
import { emitAtOnce, startLoad } from '../load.ts'

const RELAY_BATCH = 1000
const MAX_P99_MS = 2000
const QUIET_PATH = '/ok/quiet'

/** One org floods; another one emits now and then and must not notice. */
export const floodOrg: Fault = {
  id: 'F48',
  name: 'one org floods beside a quiet one',
  run: async (bench, size) => {
    const quietOrg = await bench.database.addOrg()
    await bench.subscribe('/slow/50/flooded')
    await bench.subscribe(QUIET_PATH, { orgId: quietOrg })
    await bench.startWorker()
    const load = startLoad(bench, { perSecond: 4, orgId: quietOrg })
    await emitAtOnce(bench, floodSize(size))
    // The quiet one goes on during the flood.
    await sleep(size === 'full' ? 20_000 : 5000)
    await load.stop()
    const endedAtMs = performance.now()
    const report = await audit(bench, { endedAtMs, maxDuplicates: 0 })
    const percentile = await readLatency(bench, QUIET_PATH)
    const p99 = percentile(0.99)
    const late = p99 > MAX_P99_MS ? [`p99 of the quiet org is ${p99} ms`] : []
    return {
      ...report,
      problems: [...report.problems, ...late],
      notes: [`the quiet org: median ${percentile(0.5)} ms, p99 ${p99} ms`],
    }
  },
}

/** Retries that all come due in the same second. */
export const storm: Fault = {
  id: 'F50',
  name: 'deliveries that all come due at once',
  run: async (bench, size) => {
    await bench.subscribe('/ok/stormed')
    await emitAtOnce(bench, floodSize(size))
    const { pool } = bench.database
    while ((await fanOut(pool, RELAY_BATCH)).events > 0);
    await pool.query(
      `update patchbay.delivery_queue set ready = false, due_at = now() + interval '2 seconds'`,
    )
    await Promise.all([bench.startWorker(), bench.startWorker()])
    return audit(bench, { endedAtMs: performance.now(), maxDuplicates: 0 })
  },
}

function floodSize(size: Size): number {
  return size === 'full' ? 20_000 : 4000
}
