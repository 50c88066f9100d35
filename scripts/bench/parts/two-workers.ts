import { toLanes } from '../emit.ts'
import { copyLanes } from '../lanes.ts'
import type { Part } from '../part.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { measureSides } from '../turns.ts'

const GOAL = 1.8
const LANES = 20
/** Seconds of them, however slow the machine is: lanes start slowly, and what bounds them is the receiver's time. */
const DELIVERIES = { full: 10_000, quick: 750 }

/**
 * Two processes against one, on a receiver that answers after 50 ms. What bounds one is its sockets to one origin (128, so
 * 2,560 requests a second), which leaves the machine room for two, if it carries twice as many.
 */
export const twoWorkersPart: Part = {
  name: 'two_workers',
  isOnce: false,
  measure: async (stage) => {
    const events = stage.isQuick ? DELIVERIES.quick : DELIVERIES.full
    const side = async (workers: number) => ({
      database: await copyLanes(stage, LANES, '/slow/50'),
      workers,
      events,
      warmUp: events,
      to: toLanes(LANES),
    })
    const turns = await measureSides(stage, [() => side(1), () => side(2)])
    const title = 'two workers ÷ one, answers after 50 ms'
    return turns.flatMap(([one, two]) => [
      atLeast('two_workers', title, GOAL, quotientOf(two.perSecond, one.perSecond)),
      wrongs('two_workers', [one, two]),
    ])
  },
}
