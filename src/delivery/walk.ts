import type { Claimed } from './claim.ts'

const FIRST_LANE = '00000000-0000-0000-0000-000000000000'
const MAX_LANES_PER_CLAIM = 512
/**
 * Deliveries of a lane that a claim takes in its turn where more lanes wait than it has slots: a lane costs a claim about as
 * much as a delivery, and two at a turn halve that.
 */
const TURN = 2
/** Of the slots that it asked to fill: a claim that fills fewer found lanes with less than a turn. */
const WELL_FILLED = 0.75

/**
 * Where most lanes may have nothing now (unproven ones share a few slots a claim), a claim looks at few of them: of so many, and
 * until it takes more than half as many deliveries. Lanes that may have more are not behind them: their walk goes past.
 */
const NARROW = 64
const FOR_NOTHING = 1 / 8
const WORTH_MORE = 1 / 2

/** Where the walk over the lanes stands: claim by claim from the first to the last, and again. */
export function makeWalk() {
  let afterLane = FIRST_LANE
  let turn = TURN
  let wasCut = false
  let isNarrow = false

  return {
    /** There are lanes behind those that were looked at. */
    isUnderWay: (): boolean => afterLane !== FIRST_LANE,

    next: (slots: number) => ({
      afterLane,
      lanes: Math.min(Math.ceil(slots / turn), isNarrow ? NARROW : MAX_LANES_PER_CLAIM),
    }),

    /** Notes what a claim with what `next` said came to. Returns whether there may be more. */
    went: (slots: number, lanes: number, claimed: Claimed): boolean => {
      const { deliveries, walked, lastLane } = claimed
      wasCut ||= claimed.isCut || deliveries.length >= slots
      isNarrow = deliveries.length < lanes * (isNarrow ? WORTH_MORE : FOR_NOTHING)
      if (lastLane !== null && walked === lanes) {
        afterLane = lastLane
        if (deliveries.length < slots * WELL_FILLED) turn = 1
        return true
      }
      // All lanes were looked at: once more from the first, if one of them may have more.
      const hasMore = wasCut
      afterLane = FIRST_LANE
      turn = TURN
      wasCut = false
      return hasMore
    },
  }
}
