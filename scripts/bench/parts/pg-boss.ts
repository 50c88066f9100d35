import { toLanes } from '../emit.ts'
import { type Measured, measureEndToEnd } from '../end-to-end.ts'
import { copyLanes } from '../lanes.ts'
import type { Part } from '../part.ts'
import { startChild } from '../processes.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { noteBaselineCosts } from './costs.ts'

const GOAL = 2
const BATCHED_GOAL = 1
const LANES = 20
/** Of the deliveries of other parts: there are two measurements a round. */
const SHARE = 1 / 2

const IS_OWED = `
select exists (select from patchbay.outbox_pending)
  or exists (select from pgboss.job where name = 'delivery' and state < 'completed') as is_owed`

/**
 * The product against one pg-boss job for each delivery, see `pg-boss-worker.ts`: the same events, and the same clock, from their
 * commit until nothing is owed. Once with each job by itself, and once with what is read and logged for hundreds of jobs at a
 * time, which is as fast as pg-boss gets.
 */
export const pgBossPart: Part = {
  name: 'pg_boss',
  isOnce: false,
  measure: async (stage) => {
    const measure = async (baseline: 'single' | 'batched' | null) => {
      await using database = await copyLanes(stage, LANES)
      const { url, secrets } = database
      const BATCHED = baseline === 'batched' ? 'on' : 'off'
      const env = { DATABASE_URL: url, SECRETS: JSON.stringify(secrets), BATCHED }
      const script = 'scripts/bench/pg-boss-worker.ts'
      const start = () => startChild<string>({ script, env, signal: stage.signal })
      return await measureEndToEnd(stage, {
        database,
        events: Math.ceil(stage.size.deliveries * SHARE),
        warmUp: stage.size.warmUp,
        to: toLanes(LANES),
        ...(baseline !== null && { baseline: { start, isOwed: { text: IS_OWED } } }),
      })
    }
    const single = await measure('single')
    const ours = await measure(null)
    const batched = await measure('batched')
    noteBaselineCosts(stage, batched)
    const against = ({ perSecond }: Measured) => quotientOf(ours.perSecond, perSecond)
    return [
      atLeast('against_pg_boss', 'deliveries ÷ a pg-boss job for each', GOAL, against(single)),
      atLeast(
        'against_pg_boss_batched',
        '  read and logged in batches',
        BATCHED_GOAL,
        against(batched),
      ),
      wrongs('pg_boss', [single, ours, batched]),
    ]
  },
}
