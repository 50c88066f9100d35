import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { Times } from '../children/host.ts'
import { addHangingLanes, oweHangingLanes } from '../hanging-lanes.ts'
import { openHost } from '../host.ts'
import type { Part, Result, Stage } from '../part.ts'
import { startChild } from '../processes.ts'
import { quantile } from '../quantile.ts'
import { startProduct } from '../workers.ts'

const PER_SECOND = 50
/** More than one, because to one origin a process keeps few connections. */
const ENDPOINTS = 50
const OWED_EACH = 3

/**
 * What a healthy lane feels of ten thousand lanes whose receivers take the request and never answer. Each of these owes a few
 * deliveries all the time, and every try of theirs lasts until the product's own timeout of 15 s.
 */
export const hangingPart: Part = {
  name: 'hanging',
  isOnce: true,
  measure: async (stage: Stage): Promise<Result[]> => {
    const { lanes, seconds, settleMs } = stage.isQuick
      ? { lanes: 500, seconds: 2, settleMs: 500 }
      : { lanes: 10_000, seconds: 20, settleMs: 3000 }
    await using stack = new AsyncDisposableStack()
    const { database, run } = await openHost(stage, stack, 'hanging')
    stack.use(await startProduct('worker', stage, database))
    const order = {
      by: 'emit',
      count: PER_SECOND * seconds,
      gapMs: 1000 / PER_SECOND,
      isRandom: true,
    } as const
    await run({ ...order, count: PER_SECOND })
    const without = await run(order)
    // Ends before the worker does, which so has nothing to wait for.
    const endpoint = stack.use(
      startChild<{ ports: readonly number[] }>({
        script: 'scripts/bench/children/slow-endpoint.ts',
        args: ['never', String(ENDPOINTS)],
        signal: stage.signal,
      }),
    )
    const { ports } = await endpoint.message
    const urls = ports.map((port) => `http://127.0.0.1:${port}`)
    await addHangingLanes(database, lanes, urls)
    await oweHangingLanes(database, OWED_EACH)
    await untilFannedOut(database.pool, stage.signal)
    // Until they have taken all the room that they may take.
    await sleep(settleMs, undefined, { signal: stage.signal })
    const beside = await run(order)
    const { rows } = await database.pool.query<{ tried: number }>(
      `select count(distinct subscription_id)::int as tried
       from patchbay.delivery_queue where lease_token is not null or attempt > 1`,
    )
    const p99 = (times: Times) => quantile(times.fromCommit, 0.99)
    const p50 = (times: Times) => quantile(times.fromCommit, 0.5)
    return [
      {
        name: 'hanging_lanes_p99',
        title: `p99 of a healthy lane beside ${lanes.toLocaleString('en')} that hang ÷ alone`,
        value: p99(beside) / p99(without),
        unit: '',
        goal: 1.5,
        bound: 'at most',
        detail:
          `${p99(beside).toFixed(1)} and ${p99(without).toFixed(1)} ms, p50 ${p50(beside).toFixed(1)} and ${p50(without).toFixed(1)} ms; ` +
          `${beside.missing} did not arrive in time; ${rows[0]?.tried} of the lanes tried`,
      },
    ]
  },
}

async function untilFannedOut(pool: pg.Pool, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { rows } = await pool.query<{ is_left: boolean }>(
      'select exists (select from patchbay.outbox_pending) as is_left',
    )
    if (rows[0]?.is_left === false) return
    await sleep(50, undefined, { signal })
  }
}
