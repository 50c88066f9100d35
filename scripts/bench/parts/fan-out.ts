import { toAll, toLanes } from '../emit.ts'
import { copyLanes } from '../lanes.ts'
import type { Part } from '../part.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { measureSides } from '../turns.ts'

const GOAL = 1
const LANES = 50

/** Each event wanted by 50 subscriptions, against each wanted by one: as many deliveries, to the same 50 lanes. */
export const fanOutPart: Part = {
  name: 'fan_out',
  isOnce: false,
  measure: async (stage) => {
    const { deliveries, warmUp } = stage.size
    const side = async (fanOut: 1 | typeof LANES) => ({
      database: await copyLanes(stage, LANES),
      fanOut,
      events: Math.ceil(deliveries / fanOut),
      warmUp: Math.ceil(warmUp / fanOut),
      to: fanOut === 1 ? toLanes(LANES) : toAll,
    })
    const turns = await measureSides(stage, [() => side(1), () => side(LANES)])
    return turns.flatMap(([one, many]) => [
      atLeast(
        'fan_out_50_to_1',
        'fan-out 50 ÷ fan-out 1',
        GOAL,
        quotientOf(many.perSecond, one.perSecond),
      ),
      wrongs('fan_out', [one, many]),
    ])
  },
}
