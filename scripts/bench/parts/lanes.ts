import { asAdmin } from '../databases.ts'
import { toLanes } from '../emit.ts'
import { type Measured, measureEndToEnd } from '../end-to-end.ts'
import { copyLanes, subscribeLanes } from '../lanes.ts'
import type { Options } from '../options.ts'
import type { Part, Result, Stage } from '../part.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { noteCosts } from './costs.ts'

const GOAL = 0.5
const GOAL_OFF = 0.6
const EVEN_GOAL = 0.8
/** Of what it would be without guard, row-level security and encryption. */
const WALLS_GOAL = 0.9
/** One lane starts slowly: it earns its room by that many successes. */
const WARM_UP_OF_ONE = 2000
/** Of which lane count the costs are told. */
const COSTS_OF = 20

/**
 * Deliveries a second by count of lanes against the raw ceiling, which is measured before and after each of them. With
 * `DURABLE_LEASES=off` too, and with `walls` also without guard, row-level security and encryption.
 */
export function makeLanesPart({ lanes: counts, walls }: Pick<Options, 'lanes' | 'walls'>): Part {
  return {
    name: 'lanes',
    isOnce: false,
    measure: async (stage) => {
      const results: Result[] = []
      const ratios: number[] = []
      let raw = await stage.measureRaw()
      const againstRaw = async (run: () => Promise<Measured>) => {
        const before = raw
        const measured = await run()
        raw = await stage.measureRaw()
        const quotient = quotientOf(measured.perSecond, (before + raw) / 2)
        stage.say(`${quotient.detail}: ${quotient.value.toFixed(2)}`)
        return { measured, ...quotient }
      }
      for (const lanes of counts) {
        const title = `${lanes} ${lanes === 1 ? 'lane' : 'lanes'}`
        const durable = await againstRaw(() => measureLanes(stage, lanes))
        const off = await againstRaw(() => measureLanes(stage, lanes, { DURABLE_LEASES: 'off' }))
        ratios.push(durable.value)
        if (lanes === COSTS_OF) noteCosts(stage, durable.measured)
        results.push(
          atLeast(`ratio_${lanes}_lanes`, `deliveries ÷ raw, ${title}`, GOAL, durable),
          atLeast(`ratio_off_${lanes}_lanes`, '  with DURABLE_LEASES=off', GOAL_OFF, off),
          wrongs(`${lanes}_lanes`, [durable.measured, off.measured]),
        )
        if (!walls) continue
        const bare = await againstRaw(() => measureBare(stage, lanes))
        const kept = quotientOf(durable.measured.perSecond, bare.measured.perSecond)
        const without = '  ÷ the same without guard, row security, encryption'
        results.push(atLeast(`walls_${lanes}_lanes`, without, WALLS_GOAL, kept))
      }
      if (ratios.length === 1) return results
      const [worst, best] = [Math.min(...ratios), Math.max(...ratios)]
      const detail = `${worst.toFixed(2)} of ${best.toFixed(2)}`
      const even = { value: worst / best, detail }
      return [
        ...results,
        atLeast('lanes_worst_to_best', 'worst ÷ best of these lane counts', EVEN_GOAL, even),
      ]
    },
  }
}

async function measureLanes(
  stage: Stage,
  lanes: number,
  env: Readonly<Record<string, string>> = {},
): Promise<Measured> {
  await using database = await copyLanes(stage, lanes)
  return await measureEndToEnd(stage, {
    database,
    env,
    to: toLanes(lanes),
    ...eventsOf(stage, lanes),
  })
}

/** Without the walls: no guard, no row-level security, no encryption. To see what they cost. */
async function measureBare(stage: Stage, lanes: number): Promise<Measured> {
  await using database = await stage.templates.copy(
    `${lanes} lanes, bare`,
    async ({ url }, masterKey) => {
      const secrets = await subscribeLanes({
        url,
        masterKey,
        lanes,
        base: stage.receiverUrl,
        isBare: true,
      })
      await asAdmin(url, OPEN_TABLES)
      return secrets
    },
  )
  const run = { database, isBare: true, to: toLanes(lanes), ...eventsOf(stage, lanes) }
  return await measureEndToEnd(stage, run)
}

/** Each lane gets one, and one before, or more. */
function eventsOf({ size }: Stage, lanes: number) {
  const least = lanes === 1 ? WARM_UP_OF_ONE : lanes
  return { events: Math.max(size.deliveries, lanes), warmUp: Math.max(size.warmUp, least) }
}

/** Takes row-level security off every table. */
const OPEN_TABLES = `
do $$
declare
  closed regclass;
begin
  for closed in
    select oid::regclass from pg_class where relnamespace = 'patchbay'::regnamespace and relrowsecurity
  loop
    execute format('alter table %s disable row level security', closed);
  end loop;
end
$$`
