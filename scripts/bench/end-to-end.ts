import type pg from 'pg'
import { openPool } from '../../src/db/pool.ts'
import { makeControl } from './control.ts'
import { asAdmin, type Database } from './databases.ts'
import { type Emitted, emitAtOnce } from './emit.ts'
import { type Mark, takeMark } from './marks.ts'
import { describeBacklog, makeIsOwed, owedTo, untilNothingIsOwed } from './owed.ts'
import type { Stage } from './part.ts'
import type { Child } from './processes.ts'
import type { Counts } from './receiver.ts'
import { startWorker, type WorkerOptions } from './workers.ts'

export interface Run extends WorkerOptions {
  /** With lanes and nothing pending. */
  readonly database: Database
  readonly events: number
  /** Events before, for everything to be warm and all lanes proven. */
  readonly warmUp: number
  readonly to: (nth: number) => Emitted
  /** Deliveries of each event. */
  readonly fanOut?: number
  /** Processes. */
  readonly workers?: number
  /** Only deliveries to URLs with this path are waited for; unset: all. */
  readonly owedToPath?: string
  /** Instead of the product's worker: what says when it is ready, and a query for `is_owed`. */
  readonly baseline?: { readonly start: () => Child<unknown>; readonly isOwed: pg.QueryConfig }
  /** Called as the measured events have been committed, and when nothing is owed any more. */
  readonly look?: (pool: pg.Pool) => Promise<void>
}

export interface Measured {
  readonly deliveries: number
  readonly perSecond: number
  /** Of the log: deliveries that ended well. */
  readonly recorded: number
  readonly counts: Counts
  /** As the emit began, as its commit had returned, and at the end. */
  readonly marks: { readonly before: Mark; readonly emitted: Mark; readonly end: Mark }
}

/** A database and its workers, with nothing to do until they are measured. */
export interface Side extends AsyncDisposable {
  /** Once, before it is measured. */
  readonly warmUp: () => Promise<void>
  readonly measure: () => Promise<Measured>
}

/** Measured once. */
export async function measureEndToEnd(stage: Stage, run: Run): Promise<Measured> {
  await using side = await openSide(stage, run)
  await side.warmUp()
  return await side.measure()
}

/**
 * From committed events to recorded outcomes, with the product's own workers in processes of their own and warm: one transaction
 * emits everything; the clock starts when its commit has returned and stops when nothing is owed any more. What an emit costs
 * is not in it. Returns while the processes start.
 */
export async function openSide(stage: Stage, run: Run): Promise<Side> {
  const { database, events, warmUp, to, fanOut = 1 } = run
  const { signal } = stage
  await using opening = new AsyncDisposableStack()
  // The looks at the queue are to cost an index entry, not a scan of the rows that are gone.
  const pool = openPool({
    url: database.adminUrl,
    max: 2,
    applicationName: 'bench',
    settings: ['enable_seqscan=off'],
    onError: () => undefined,
  })
  opening.defer(() => pool.end())
  const control = makeControl(stage.receiverUrl)
  await asAdmin(database.adminUrl, 'checkpoint')
  const workers = Array.from({ length: run.workers ?? 1 }, () =>
    opening.use(run.baseline?.start() ?? startWorker(stage, database, run)),
  )
  const waitedFor = run.owedToPath === undefined ? null : await findLanes(pool, run.owedToPath)
  const isOwed = makeIsOwed(pool, run.baseline?.isOwed ?? owedTo(waitedFor))
  const describe = () => describeBacklog(pool)
  const finish = (expected: number) =>
    untilNothingIsOwed({ control, workers, isOwed, describe, signal }, expected)
  const mark = () =>
    takeMark(pool, { workers: workers.map(({ pid }) => pid), receiver: stage.receiverPid })
  // Another side's lanes have the same paths, and other secrets.
  const expectOurs = async () => {
    await control.trust(database.secrets)
    await control.reset()
  }

  const sendFirst = async (): Promise<void> => {
    if (run.baseline !== undefined) await Promise.all(workers.map(({ message }) => message))
    await expectOurs()
    await emitAtOnce(pool, warmUp, to)
    await finish(warmUp * fanOut)
  }

  const measure = async (): Promise<Measured> => {
    await expectOurs()
    const since = await now(pool)
    const before = await mark()
    await emitAtOnce(pool, events, to)
    // As a host does after its commit.
    await pool.query('select patchbay.wake()')
    const startedAt = performance.now()
    const emitted = await mark()
    await run.look?.(pool)
    const deliveries = events * fanOut
    await finish(deliveries)
    const seconds = (performance.now() - startedAt) / 1000
    await run.look?.(pool)
    return {
      deliveries,
      perSecond: deliveries / seconds,
      recorded: await countDelivered(pool, since),
      counts: await control.counts(),
      marks: { before, emitted, end: await mark() },
    }
  }
  const owned = opening.move()
  return { warmUp: sendFirst, measure, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function findLanes(pool: pg.Pool, path: string): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `select id from patchbay.webhook_subscriptions where url ~ ('^http://[^/]+' || $1)`,
    [path],
  )
  return rows.map((row) => row.id)
}

/** As text: a `Date` knows no microseconds. */
async function now(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ now: string }>('select now()::text')
  return rows[0]?.now ?? '-infinity'
}

async function countDelivered(pool: pg.Pool, since: string): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    `select count(*)::int from patchbay.webhook_delivery_log
    where created_at > $1 and is_final and outcome = 'delivered'`,
    [since],
  )
  return rows[0]?.count ?? 0
}

/** Deliveries that did not come, came twice, were not signed as they must, or are not in the log: none is fine. */
export function countWrong({ deliveries, recorded, counts }: Measured): number {
  const missing = Math.abs(deliveries - (counts.received - counts.twice))
  return missing + counts.twice + counts.forged + Math.abs(deliveries - recorded)
}
