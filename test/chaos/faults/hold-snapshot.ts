import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import type { Bench } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { emitAtOnce } from '../load.ts'

const BACKLOG = 1000
const WINDOW_MS = 20_000
const LEAST_SHARE = 0.5

/** A forgotten transaction keeps every dead row of the queue alive, while the queue runs at its full speed. */
export const holdSnapshot: Fault = {
  id: 'F16',
  name: 'a snapshot is held open while the queue runs',
  run: async (bench, size) => {
    await bench.subscribe('/slow/50/plain')
    await bench.startWorker()
    const lastsMs = size === 'full' ? 120_000 : 40_000
    const forgotten = await bench.database.pool.connect()
    await forgotten.query('begin isolation level repeatable read')
    await forgotten.query('select count(*) from patchbay.delivery_queue')
    const startedAt = Date.now()
    await feed(bench, startedAt + lastsMs)
    await forgotten.query('rollback')
    forgotten.release()
    const endedAtMs = performance.now()
    const times = (await bench.receiver.read()).map((copy) => copy.at - startedAt)
    const within = (from: number) =>
      times.filter((at) => at >= from && at < from + WINDOW_MS).length / (WINDOW_MS / 1000)
    const [first, last] = [within(0), within(lastsMs - WINDOW_MS)]
    const isSlow = last < first * LEAST_SHARE
    return audit(bench, {
      endedAtMs,
      maxDuplicates: 0,
      problems: isSlow ? [`fell from ${first} to ${last} deliveries a second`] : [],
      notes: [`${first.toFixed(0)} a second at first, ${last.toFixed(0)} at last`],
    })
  },
}

/** Keeps so much owed that the worker never waits for work. */
async function feed(bench: Bench, until: number): Promise<void> {
  let emitted = 0
  let delivered = 0
  while (Date.now() < until) {
    if (emitted - delivered < BACKLOG) {
      await emitAtOnce(bench, BACKLOG)
      emitted += BACKLOG
    }
    // Between two looks.
    await sleep(100)
    const { rows } = await bench.database.pool.query<{ count: number }>(
      `select count(*)::int as count from patchbay.webhook_delivery_log where is_final`,
    )
    delivered = rows[0]?.count ?? 0
  }
}
