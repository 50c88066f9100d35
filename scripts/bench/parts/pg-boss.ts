import { toLanes } from '../emit.ts'
import type { Measured } from '../end-to-end.ts'
import { copyLanes } from '../lanes.ts'
import type { Part } from '../part.ts'
import { startChild } from '../processes.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { measureSides } from '../turns.ts'
import { noteBaselineCosts } from './costs.ts'

const GOAL = 2
const BATCHED_GOAL = 1
const LANES = 20

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
    const side = async (baseline: 'single' | 'batched' | null) => {
      const database = await copyLanes(stage, LANES)
      const { url, secrets } = database
      const BATCHED = baseline === 'batched' ? 'on' : 'off'
      const env = { DATABASE_URL: url, SECRETS: JSON.stringify(secrets), BATCHED }
      const script = 'scripts/bench/pg-boss-worker.ts'
      const start = () => startChild<string>({ script, env, signal: stage.signal })
      return {
        database,
        events: stage.size.deliveries,
        warmUp: stage.size.warmUp,
        to: toLanes(LANES),
        ...(baseline !== null && { baseline: { start, isOwed: { text: IS_OWED } } }),
      }
    }
    const turns = await measureSides(stage, [
      () => side('single'),
      () => side(null),
      () => side('batched'),
    ])
    return turns.flatMap(([single, ours, batched]) => {
      noteBaselineCosts(stage, batched)
      const against = ({ perSecond }: Measured) => quotientOf(ours.perSecond, perSecond)
      const title = 'deliveries ÷ a pg-boss job for each'
      const batchedTitle = '  read and logged in batches'
      return [
        atLeast('against_pg_boss', title, GOAL, against(single)),
        atLeast('against_pg_boss_batched', batchedTitle, BATCHED_GOAL, against(batched)),
        wrongs('pg_boss', [single, ours, batched]),
      ]
    })
  },
}
