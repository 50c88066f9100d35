import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import type { Fault } from '../fault.ts'
import { readLatency } from '../latency.ts'
import { startLoad } from '../load.ts'

const HEALTHY_PATH = '/ok/healthy'
const MAX_P99_MS = 1500
/** Of the log, for each of its deliveries: what cannot be opened now cannot be opened ten times a second either. */
const MAX_TRIES_PER_DELIVERY = 12

/** A subscription whose secrets are garbage: it alone suffers. */
export const poisonSubscription: Fault = {
  id: 'F51',
  name: 'a subscription that cannot be opened',
  run: async (bench, size) => {
    await bench.subscribe(HEALTHY_PATH)
    const poison = await bench.subscribe('', { url: `${bench.receiver.url}/ok/poison` })
    const { pool } = bench.database
    await pool.query(
      `update patchbay.webhook_subscriptions set secrets = '\\xdeadbeef', revision = revision + 1 where id = $1`,
      [poison],
    )
    const worker = await bench.startWorker()
    const load = startLoad(bench, { perSecond: 40 })
    // It fails beside the healthy one for a while.
    await sleep(size === 'full' ? 20_000 : 5000)
    await load.stop()
    const endedAtMs = performance.now()
    const report = await audit(bench, {
      endedAtMs,
      maxDuplicates: 0,
      expectedErrors: ['subscription.broken'],
    })
    const { rows } = await pool.query<{ owed: number; tries: number }>(
      `select (select count(*)::int from patchbay.delivery_queue where subscription_id = $1) as owed,
         (select count(*)::int from patchbay.webhook_delivery_log where subscription_id = $1) as tries`,
      [poison],
    )
    const { owed = 0, tries = 0 } = rows[0] ?? {}
    const p99 = (await readLatency(bench, HEALTHY_PATH))(0.99)
    const lines = worker.output().split('subscription.broken').length - 1
    const problems = [...report.problems]
    if (p99 > MAX_P99_MS) problems.push(`p99 of the healthy subscription is ${p99} ms`)
    if (owed === 0) problems.push('the poisoned deliveries are gone')
    if (tries > owed * MAX_TRIES_PER_DELIVERY) {
      problems.push(`${tries} log rows for ${owed} deliveries that cannot be opened`)
    }
    return {
      ...report,
      problems,
      notes: [`${owed} poisoned deliveries stay owed, ${tries} log rows, ${lines} error lines`],
    }
  },
}
