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
 * deliveries all the time, and every try of theirs lasts until the product's own timeout of 15 s. Some goes, each on a new database
 * and first without them; of all waits together.
 */
export const hangingPart: Part = {
  name: 'hanging',
  isOnce: true,
  measure: async (stage: Stage): Promise<Result[]> => {
    const size = stage.isQuick
      ? { goes: 1, lanes: 300, seconds: 1, settleMs: 300 }
      : { goes: 3, lanes: 10_000, seconds: 8, settleMs: 3000 }
    const all: Go[] = []
    for (let go = 0; go < size.goes; go += 1) all.push(await measureOnce(stage, size))
    const at = (of: 'beside' | 'without', share: number) =>
      quantile(
        all.flatMap((go) => go[of].fromCommit),
        share,
      )
    const sum = (pick: (go: Go) => number) => all.reduce((total, go) => total + pick(go), 0)
    const figures = (share: number) =>
      `${at('beside', share).toFixed(1)} and ${at('without', share).toFixed(1)} ms`
    return [
      {
        name: 'hanging_lanes_p99',
        title: `p99 of a healthy lane beside ${size.lanes.toLocaleString('en')} that hang ÷ alone`,
        value: at('beside', 0.99) / at('without', 0.99),
        unit: '',
        goal: 1.5,
        bound: 'at most',
        detail:
          `${figures(0.99)}, p50 ${figures(0.5)}; ` +
          `${sum(({ beside }) => beside.missing)} did not arrive in time; ${Math.round(sum(({ tried }) => tried) / all.length)} of the lanes tried`,
      },
    ]
  },
}

interface Go {
  readonly without: Times
  readonly beside: Times
  /** Lanes that hang, of which one was tried. */
  readonly tried: number
}

async function measureOnce(
  stage: Stage,
  { lanes, seconds, settleMs }: { lanes: number; seconds: number; settleMs: number },
): Promise<Go> {
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
  return { without, beside, tried: rows[0]?.tried ?? 0 }
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
