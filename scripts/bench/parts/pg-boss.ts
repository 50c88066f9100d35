import { toLanes } from '../emit.ts'
import { measureEndToEnd } from '../end-to-end.ts'
import { copyLanes } from '../lanes.ts'
import type { Part } from '../part.ts'
import { startChild } from '../processes.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { noteBaselineCosts } from './costs.ts'

const GOAL = 2
const LANES = 20
/** Of the deliveries of other parts: there are two measurements a round. */
const SHARE = 1 / 2

const IS_OWED = `
select exists (select from patchbay.outbox_pending)
  or exists (select from pgboss.job where name = 'delivery' and state < 'completed') as is_owed`

/**
 * The product against one pg-boss job for each delivery, see `pg-boss-worker.ts`: the same events, and the same clock, from their
 * commit until nothing is owed.
 */
export const pgBossPart: Part = {
  name: 'pg_boss',
  isOnce: false,
  measure: async (stage) => {
    const measure = async (isBaseline: boolean) => {
      await using database = await copyLanes(stage, LANES)
      const { url, secrets } = database
      const env = { DATABASE_URL: url, SECRETS: JSON.stringify(secrets) }
      const script = 'scripts/bench/pg-boss-worker.ts'
      const start = () => startChild<string>({ script, env, signal: stage.signal })
      return await measureEndToEnd(stage, {
        database,
        events: Math.ceil(stage.size.deliveries * SHARE),
        warmUp: stage.size.warmUp,
        to: toLanes(LANES),
        ...(isBaseline && { baseline: { start, isOwed: { text: IS_OWED } } }),
      })
    }
    const baseline = await measure(true)
    const ours = await measure(false)
    noteBaselineCosts(stage, baseline)
    const title = 'deliveries ÷ a pg-boss job for each'
    const quotient = quotientOf(ours.perSecond, baseline.perSecond)
    return [atLeast('against_pg_boss', title, GOAL, quotient), wrongs('pg_boss', [baseline, ours])]
  },
}
