import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import { CONCURRENCY } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { startLoad } from '../load.ts'

/** Workers are killed at random while their deliveries are in flight. */
export const killWorkers: Fault = {
  id: 'F01',
  name: 'SIGKILL of workers at random',
  run: async (bench, size) => {
    await bench.subscribe('/slow/150/plain')
    const strictOrg = await bench.database.addOrg()
    await bench.subscribe('/ok/ordered', { orgId: strictOrg, isOrdered: true })
    await bench.subscribe('/ok/limited', { orgId: strictOrg, perSecond: 12 })
    const workers = await Promise.all(
      Array.from({ length: size === 'full' ? 3 : 2 }, () => bench.startWorker()),
    )
    const load = startLoad(bench, { perSecond: 80 })
    const strictLoad = startLoad(bench, { perSecond: 6, orgId: strictOrg })
    const endAtMs = performance.now() + (size === 'full' ? 60_000 : 9000)
    let kills = 0
    while (performance.now() < endAtMs) {
      // The rhythm of the fault.
      await sleep(bench.dice.between(200, 2000))
      const victim = Math.floor(bench.dice.next() * workers.length)
      workers[victim]?.kill('SIGKILL')
      workers[victim] = bench.spawn('worker')
      kills += 1
    }
    await Promise.all([load.stop(), strictLoad.stop()])
    return audit(bench, {
      endedAtMs: performance.now(),
      maxDuplicates: kills * CONCURRENCY,
      notes: [`${kills} kills`],
    })
  },
}
