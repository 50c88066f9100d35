import { asAdmin, type Database } from '../databases.ts'
import { toLanes } from '../emit.ts'
import { type Measured, openSide } from '../end-to-end.ts'
import { copyLanes, subscribeLanes } from '../lanes.ts'
import type { Options } from '../options.ts'
import type { Part, Result, Stage } from '../part.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { inTurns, turnsOf } from '../turns.ts'
import type { WorkerOptions } from '../workers.ts'
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
 * Deliveries a second by count of lanes against the raw ceiling, with `DURABLE_LEASES=off` too, and with `walls` also without guard,
 * row-level security and encryption: all of them warm, and measured in turns.
 */
export function makeLanesPart({ lanes: counts, walls }: Pick<Options, 'lanes' | 'walls'>): Part {
  return {
    name: 'lanes',
    isOnce: false,
    measure: async (stage) => {
      const results: Result[] = []
      for (const lanes of counts) results.push(...(await measureLanes(stage, lanes, walls)))
      return results
    },
    conclude: (lines) => {
      const ratios = lines.filter(({ name }) => /^ratio_\d+_lanes$/.test(name))
      if (ratios.length < 2) return []
      const values = ratios.map(({ value }) => value)
      const [worst, best] = [Math.min(...values), Math.max(...values)]
      const even = { value: worst / best, detail: `${worst.toFixed(2)} of ${best.toFixed(2)}` }
      return [atLeast('lanes_worst_to_best', 'worst ÷ best of these lane counts', EVEN_GOAL, even)]
    },
  }
}

async function measureLanes(stage: Stage, lanes: number, walls: boolean): Promise<Result[]> {
  await using stack = new AsyncDisposableStack()
  // A new one for each, as warm as what is measured against it.
  const raw = stack.use(await stage.openRaw())
  const open = async (making: Promise<Database>, options: WorkerOptions) => {
    const database = stack.use(await making)
    const run = { ...options, database, to: toLanes(lanes), ...eventsOf(stage, lanes) }
    return stack.use(await openSide(stage, run))
  }
  const durable = await open(copyLanes(stage, lanes), {})
  const off = await open(copyLanes(stage, lanes), { env: { DURABLE_LEASES: 'off' } })
  const bare = walls ? await open(copyBare(stage, lanes), { isBare: true }) : null
  for (const side of [durable, off, bare]) await side?.warmUp()
  const title = `${lanes} ${lanes === 1 ? 'lane' : 'lanes'}`
  const others = bare === null ? [] : [bare.measure]
  const sides = [raw.measure, durable.measure, off.measure, ...others] as const
  const turns = await inTurns(turnsOf(stage), sides)
  return turns.flatMap(([ceiling, own, ownOff, without]) => {
    const quotient = quotientOf(own.perSecond, ceiling)
    const quotientOff = quotientOf(ownOff.perSecond, ceiling)
    stage.say(
      `${title}: ${quotient.detail}: ${quotient.value.toFixed(2)}, off ${quotientOff.value.toFixed(2)}`,
    )
    if (lanes === COSTS_OF) noteCosts(stage, own)
    return [
      atLeast(`ratio_${lanes}_lanes`, `deliveries ÷ raw, ${title}`, GOAL, quotient),
      atLeast(`ratio_off_${lanes}_lanes`, '  with DURABLE_LEASES=off', GOAL_OFF, quotientOff),
      wrongs(`${lanes}_lanes`, [own, ownOff]),
      ...(without === undefined ? [] : [wallsOf(lanes, own, without)]),
    ]
  })
}

function wallsOf(lanes: number, own: Measured, without: Measured): Result {
  const title = '  ÷ the same without guard, row security, encryption'
  const kept = quotientOf(own.perSecond, without.perSecond)
  return atLeast(`walls_${lanes}_lanes`, title, WALLS_GOAL, kept)
}

/** Without the walls: no guard, no row-level security, no encryption. To see what they cost. */
function copyBare(stage: Stage, lanes: number): Promise<Database> {
  return stage.templates.copy(`${lanes} lanes, bare`, async ({ url }, masterKey) => {
    const secrets = await subscribeLanes({
      url,
      masterKey,
      lanes,
      base: stage.receiverUrl,
      isBare: true,
    })
    await asAdmin(url, OPEN_TABLES)
    return secrets
  })
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
