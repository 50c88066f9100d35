import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import { startBadReceivers } from '../bad-receivers.ts'
import type { Fault } from '../fault.ts'
import { readLatency } from '../latency.ts'
import { emitAtOnce, startLoad } from '../load.ts'

const STALLING = ['never answers', 'slow headers', 'slow body', 'endless 103']
const BACKLOG = 400
const HEALTHY_PATH = '/ok/healthy'
const MAX_P99_MS = 2000

/** Endpoints of one org stop answering while much is owed to them; another org's endpoint is fine. */
export const killEndpoints: Fault = {
  id: 'F47',
  name: 'endpoints with a backlog that stall',
  run: async (bench, size) => {
    await using stack = new AsyncDisposableStack()
    const ports = await startBadReceivers(stack)
    const stalledOrg = await bench.database.addOrg()
    for (const kind of STALLING) {
      await bench.subscribe('', { url: `http://127.0.0.1:${ports[kind]}/hook`, orgId: stalledOrg })
    }
    await bench.subscribe(HEALTHY_PATH)
    // The defaults: an attempt may take 15 s.
    await bench.startWorker({ WORKER_CONCURRENCY: '512', LEASE_SECONDS: '30' })
    await emitAtOnce(bench, BACKLOG, stalledOrg)
    const load = startLoad(bench, { perSecond: 8 })
    // Longer than one attempt, so that stalled ones end and more are begun.
    await sleep(size === 'full' ? 40_000 : 18_000)
    await load.stop()
    const report = await audit(bench, { endedAtMs: performance.now(), maxDuplicates: 0 })
    const percentile = await readLatency(bench, HEALTHY_PATH)
    const p99 = percentile(0.99)
    const late = p99 > MAX_P99_MS ? [`p99 of the healthy endpoint is ${p99} ms`] : []
    return {
      ...report,
      problems: [...report.problems, ...late],
      notes: [`the healthy endpoint: median ${percentile(0.5)} ms, p99 ${p99} ms`],
    }
  },
}
