import { asAdmin, type Database } from '../databases.ts'
import { toLanes } from '../emit.ts'
import { countWrong, type Measured, measureEndToEnd } from '../end-to-end.ts'
import { subscribeLanes } from '../lanes.ts'
import type { Options } from '../options.ts'
import type { Part, Result, Stage } from '../part.ts'
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

/** A database with this many lanes at the receiver, all of them idle. */
export function copyLanes(stage: Stage, lanes: number, path = ''): Promise<Database> {
  const base = stage.receiverUrl + path
  return stage.templates.copy(`${lanes} lanes${path}`, ({ url }, masterKey) =>
    subscribeLanes({ url, masterKey, lanes, base }),
  )
}

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
      const against = async (run: () => Promise<Measured>) => {
        const before = raw
        const measured = await run()
        raw = await stage.measureRaw()
        const ceiling = (before + raw) / 2
        const ratio = measured.perSecond / ceiling
        const detail = `${perSecond(measured.perSecond)} of ${perSecond(ceiling)}`
        stage.say(`${detail}: ${ratio.toFixed(2)}`)
        return { measured, ratio, detail }
      }
      for (const lanes of counts) {
        const title = `${lanes} ${lanes === 1 ? 'lane' : 'lanes'}`
        const durable = await against(() => measureLanes(stage, lanes))
        const off = await against(() => measureLanes(stage, lanes, { DURABLE_LEASES: 'off' }))
        ratios.push(durable.ratio)
        if (lanes === COSTS_OF) noteCosts(stage, durable.measured)
        results.push(
          ratioOf(`ratio_${lanes}_lanes`, `deliveries ÷ raw, ${title}`, GOAL, durable),
          ratioOf(`ratio_off_${lanes}_lanes`, `  with DURABLE_LEASES=off`, GOAL_OFF, off),
          wrongs(`${lanes}_lanes`, title, [durable.measured, off.measured]),
        )
        if (walls) {
          const bare = await measureBare(stage, lanes)
          results.push({
            name: `walls_${lanes}_lanes`,
            title: '  ÷ the same without guard, row security, encryption',
            value: durable.measured.perSecond / bare.perSecond,
            unit: '',
            goal: WALLS_GOAL,
            bound: 'at least',
            detail: `${perSecond(durable.measured.perSecond)} of ${perSecond(bare.perSecond)}`,
          })
        }
      }
      if (ratios.length > 1) {
        const [worst, best] = [Math.min(...ratios), Math.max(...ratios)]
        results.push({
          name: 'lanes_worst_to_best',
          title: 'worst ÷ best of these counts of lanes',
          value: worst / best,
          unit: '',
          goal: EVEN_GOAL,
          bound: 'at least',
          detail: `${worst.toFixed(2)} of ${best.toFixed(2)}`,
        })
      }
      return results
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

/** Each lane gets one before, or more. */
function eventsOf({ size }: Stage, lanes: number) {
  const least = lanes === 1 ? WARM_UP_OF_ONE : lanes
  return { events: size.deliveries, warmUp: Math.max(size.warmUp, least) }
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

function ratioOf(
  name: string,
  title: string,
  goal: number,
  { ratio, detail }: { readonly ratio: number; readonly detail: string },
): Result {
  return { name, title, value: ratio, unit: '', goal, bound: 'at least', detail }
}

/** What must never happen, in some measurements together. */
export function wrongs(of: string, title: string, measured: readonly Measured[]): Result {
  const sum = (pick: (each: Measured) => number) =>
    measured.reduce((all, each) => all + pick(each), 0)
  const verified = sum(({ counts }) => counts.verified)
  return {
    name: `wrong_${of}`,
    title: `  lost, twice, forged or unrecorded: ${title}`,
    value: sum(countWrong),
    unit: '',
    goal: 0,
    bound: 'at most',
    detail: `${sum(({ counts }) => counts.received)} received, ${sum(({ recorded }) => recorded)} recorded, ${verified} verified`,
  }
}

export const perSecond = (value: number) => `${Math.round(value).toLocaleString('en')}/s`
