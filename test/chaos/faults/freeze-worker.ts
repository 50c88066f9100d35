import { until } from '../../fixtures/process.ts'
import { audit, isFinal } from '../audit.ts'
import { CONCURRENCY } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { emitMany } from '../load.ts'

const EVENTS = 40

/** A worker is frozen past its lease, and wakes up as a zombie with results that are nobody's any more. */
export const freezeWorker: Fault = {
  id: 'F06',
  name: 'SIGSTOP past the lease, then SIGCONT',
  run: async (bench) => {
    await bench.subscribe('/slow/1500/plain')
    await bench.subscribe('/slow/100/ordered', { isOrdered: true })
    await bench.subscribe('/ok/limited', { perSecond: 10 })
    const zombie = await bench.startWorker()
    await emitMany(bench, EVENTS)
    await until('deliveries are in flight', async () => {
      const received = await bench.receiver.read()
      return received.filter((copy) => copy.path === '/slow/1500/plain').length >= EVENTS / 2
    })
    zombie.kill('SIGSTOP')
    const second = await bench.startWorker()
    const ids = bench.subscriptions.map((subscription) => subscription.id)
    await until('the second worker has ended all', () => isFinal(bench, ids))
    const before = await finalState(bench.database.pool)
    zombie.kill('SIGCONT')
    const endedAtMs = performance.now()
    await until('the zombie notices', () => zombie.output().includes('delivery.lost'), 10_000)
    const after = await finalState(bench.database.pool)
    zombie.kill('SIGTERM')
    second.kill('SIGTERM')
    const codes = await Promise.all([zombie.exited, second.exited])
    const problems = codes.some((code) => code !== 0) ? [`ended with ${codes.join(' and ')}`] : []
    if (before !== after) problems.push(`the zombie changed ${before} to ${after}`)
    return audit(bench, { endedAtMs, maxDuplicates: CONCURRENCY, problems })
  },
}

interface Pool {
  query: (text: string) => Promise<{ rows: { state: string }[] }>
}

/** What is final and how the endpoints stand, as one text. */
async function finalState(pool: Pool): Promise<string> {
  const { rows } = await pool.query(
    `select json_build_object(
       'log', (select md5(string_agg(concat(l.delivery_id, l.outcome, l.created_at), ',' order by l.delivery_id, l.created_at))
         from patchbay.webhook_delivery_log as l),
       'failures', (select sum(h.consecutive_failures) from patchbay.subscription_health as h)
     )::text as state`,
  )
  return rows[0]?.state ?? ''
}
