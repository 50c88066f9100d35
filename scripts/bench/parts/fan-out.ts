import { toAll, toLanes } from '../emit.ts'
import { measureEndToEnd } from '../end-to-end.ts'
import { copyLanes } from '../lanes.ts'
import type { Part } from '../part.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'

const GOAL = 1
const LANES = 50

/** Each event wanted by 50 subscriptions, against each wanted by one: as many deliveries, to the same 50 lanes. */
export const fanOutPart: Part = {
  name: 'fan_out',
  isOnce: false,
  measure: async (stage) => {
    const { deliveries, warmUp } = stage.size
    const measure = async (fanOut: 1 | typeof LANES) => {
      await using database = await copyLanes(stage, LANES)
      return await measureEndToEnd(stage, {
        database,
        fanOut,
        events: Math.ceil(deliveries / fanOut),
        warmUp: Math.ceil(warmUp / fanOut),
        to: fanOut === 1 ? toLanes(LANES) : toAll,
      })
    }
    const one = await measure(1)
    const many = await measure(LANES)
    return [
      atLeast(
        'fan_out_50_to_1',
        'fan-out 50 ÷ fan-out 1',
        GOAL,
        quotientOf(many.perSecond, one.perSecond),
      ),
      wrongs('fan_out', [one, many]),
    ]
  },
}
