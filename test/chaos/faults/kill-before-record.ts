import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import { CONCURRENCY } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { startLoad } from '../load.ts'

/** The receiver itself kills the worker, right after its 200 went out: nobody has recorded it yet. */
export const killBeforeRecord: Fault = {
  id: 'F02',
  name: "SIGKILL between the receiver's 200 and our record",
  run: async (bench, size) => {
    const rounds = size === 'full' ? 12 : 3
    await bench.subscribe('/slow/20/plain')
    const load = startLoad(bench, { perSecond: 60 })
    const answered: string[] = []
    for (let round = 0; round < rounds; round += 1) {
      const worker = await bench.startWorker()
      // What waited for it at its start would be most of what the kill repeats.
      await sleep(bench.dice.between(500, 1000))
      answered.push(await bench.receiver.killAfterNextAnswer(worker.pid))
      await worker.exited
    }
    await load.stop()
    const endedAtMs = performance.now()
    await bench.startWorker()
    const report = await audit(bench, { endedAtMs, maxDuplicates: rounds * CONCURRENCY })
    const received = await bench.receiver.read()
    const once = answered.filter((id) => received.filter((copy) => copy.id === id).length < 2)
    return {
      ...report,
      problems: [...report.problems, ...once.map((id) => `${id} was not sent again`)],
      notes: [`${rounds} kills`],
    }
  },
}
