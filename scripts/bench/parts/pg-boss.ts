import { makeControl } from '../control.ts'
import { asAdmin } from '../databases.ts'
import { toLanes } from '../emit.ts'
import { measureEndToEnd } from '../end-to-end.ts'
import { copyLanes } from '../lanes.ts'
import { takeMark } from '../marks.ts'
import { untilNothingIsOwed } from '../owed.ts'
import type { Part, Stage } from '../part.ts'
import { openQueue } from '../pg-boss-jobs.ts'
import { startChild } from '../processes.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { noteBaselineCosts } from './costs.ts'

const GOAL = 2
const LANES = 20
/** Of the deliveries of other parts: there are two measurements a round, and one is slow. */
const SHARE = 1 / 2

/**
 * The product against one pg-boss job for each delivery, see `pg-boss-worker.ts`. What it costs to write the jobs is not in the
 * baseline's time, although it stands for the product's emit and fan-out together, of which the fan-out is in the product's.
 */
export const pgBossPart: Part = {
  name: 'pg_boss',
  isOnce: false,
  measure: async (stage) => {
    const deliveries = Math.ceil(stage.size.deliveries * SHARE)
    const baseline = await measureBaseline(stage, deliveries)
    await using database = await copyLanes(stage, LANES)
    const ours = await measureEndToEnd(stage, {
      database,
      events: deliveries,
      warmUp: stage.size.warmUp,
      to: toLanes(LANES),
    })
    const title = 'deliveries ÷ a pg-boss job for each'
    return [
      atLeast('against_pg_boss', title, GOAL, quotientOf(ours.perSecond, baseline)),
      wrongs('pg_boss', [ours]),
    ]
  },
}

/** Deliveries a second, from the commit of the jobs until all are completed. */
async function measureBaseline(stage: Stage, deliveries: number): Promise<number> {
  const { receiverUrl, signal, size } = stage
  await using database = await copyLanes(stage, LANES)
  await using queue = await openQueue(database.url)
  const control = makeControl(receiverUrl)
  await control.trust(database.secrets)
  await asAdmin(database.adminUrl, 'checkpoint')
  await using worker = startChild<never>({
    script: 'scripts/bench/pg-boss-worker.ts',
    env: {
      DATABASE_URL: database.url,
      RECEIVER_URL: receiverUrl,
      SECRETS: JSON.stringify(database.secrets),
    },
    signal,
  })
  const finish = (expected: number) =>
    untilNothingIsOwed(
      {
        control,
        workers: [worker],
        isOwed: queue.isOwed,
        describe: () => Promise.resolve('pg-boss has jobs left'),
        signal,
      },
      expected,
    )
  const pids = { workers: [worker.pid], receiver: stage.receiverPid }
  const mark = () => takeMark(queue.pool, pids)
  await control.reset()
  await queue.insert(size.warmUp)
  await finish(size.warmUp)
  await control.reset()
  await queue.insert(deliveries)
  const startedAt = performance.now()
  const emitted = await mark()
  await finish(deliveries)
  const seconds = (performance.now() - startedAt) / 1000
  noteBaselineCosts(stage, emitted, await mark(), deliveries)
  const { received, forged } = await control.counts()
  if (received !== deliveries || forged > 0) {
    throw new Error(
      `the baseline is wrong: ${received} of ${deliveries} received, ${forged} forged`,
    )
  }
  return deliveries / seconds
}
