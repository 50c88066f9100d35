import { type Measured, openSide, type Run, type Side } from './end-to-end.ts'
import type { Stage } from './part.ts'

/** A round has so many. */
const TURNS = { full: 2, quick: 1 }

export const turnsOf = ({ isQuick }: Pick<Stage, 'isQuick'>) => (isQuick ? TURNS.quick : TURNS.full)

/**
 * Measures each in turn, so many times; every other turn in the opposite order. A machine that gets slower or faster meanwhile
 * favours none of them.
 *
 * @returns by turn, in the order of what was given
 */
export async function inTurns<Found, Measures extends readonly (() => Promise<Found>)[]>(
  turns: number,
  measures: readonly [...Measures],
): Promise<{ [At in keyof Measures]: Awaited<ReturnType<Measures[At]>> }[]> {
  const all: Found[][] = []
  for (let turn = 0; turn < turns; turn += 1) {
    const found: Found[] = []
    const order = [...measures.entries()]
    if (turn % 2 === 1) order.reverse()
    for (const [at, measure] of order) found[at] = await measure()
    all.push(found)
  }
  return all as { [At in keyof Measures]: Awaited<ReturnType<Measures[At]>> }[]
}

/** Each with its database, which goes with it. All are open and warm before the first turn; the events of one are sent at a time. */
export async function measureSides<Makes extends readonly (() => Promise<Run>)[]>(
  stage: Stage,
  makes: readonly [...Makes],
): Promise<{ [At in keyof Makes]: Measured }[]> {
  await using stack = new AsyncDisposableStack()
  const sides: Side[] = []
  for (const make of makes) {
    const run = await make()
    stack.use(run.database)
    sides.push(stack.use(await openSide(stage, run)))
  }
  for (const side of sides) await side.warmUp()
  const turns = await inTurns(
    turnsOf(stage),
    sides.map(({ measure }) => measure),
  )
  return turns as { [At in keyof Makes]: Measured }[]
}
