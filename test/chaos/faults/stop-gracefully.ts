import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import type { Fault } from '../fault.ts'
import { startLoad } from '../load.ts'

const MAX_STOP_MS = 10_000

/** A deploy: the worker is asked to stop while it works. Nothing may be repeated. */
export const stopGracefully: Fault = {
  id: 'F05',
  name: 'SIGTERM under load',
  run: async (bench, size) => {
    await bench.subscribe('/slow/100/plain')
    const load = startLoad(bench, { perSecond: 100 })
    const problems: string[] = []
    const stopMs: number[] = []
    for (let round = 0; round < (size === 'full' ? 8 : 3); round += 1) {
      const worker = await bench.startWorker()
      // It works for a while.
      await sleep(bench.dice.between(200, 1000))
      const askedAtMs = performance.now()
      worker.kill('SIGTERM')
      const code = await worker.exited
      stopMs.push(Math.round(performance.now() - askedAtMs))
      if (code !== 0) problems.push(`ended with ${code}`)
      const { rows } = await bench.database.pool.query<{ leased: number }>(
        'select count(*)::int as leased from patchbay.delivery_queue where lease_token is not null',
      )
      if (rows[0]?.leased !== 0) problems.push(`left ${rows[0]?.leased} deliveries leased`)
    }
    await load.stop()
    const endedAtMs = performance.now()
    await bench.startWorker()
    const slowest = Math.max(...stopMs)
    if (slowest > MAX_STOP_MS) problems.push(`took ${slowest} ms to stop`)
    return audit(bench, {
      endedAtMs,
      maxDuplicates: 0,
      problems,
      notes: [`stopped within ${slowest} ms`],
    })
  },
}
