/** What is in flight in this process, lane by lane, and how much more of each may be. */
export interface InFlight {
  readonly total: () => number
  readonly unproven: () => number
  readonly started: (lane: string, isUnproven: boolean) => void
  readonly ended: (lane: string, isUnproven: boolean, isDelivered: boolean) => void
  /** Lanes that have enough. */
  readonly busyLanes: () => string[]
  /** Lanes that have earned more room than a new one has, with what is left of it. */
  readonly rooms: () => { readonly lanes: string[]; readonly sizes: number[] }
}

interface Lane {
  count: number
  allowance: number
}

/**
 * Slow start, as TCP has it: a lane begins with `start` deliveries in flight, each success adds one, up to `max`; a failure or
 * an end of work takes it back to the start. So an endpoint that hangs takes a few slots, and one that answers soon has all it
 * can use.
 */
export function makeInFlight(start: number, max: number): InFlight {
  const lanes = new Map<string, Lane>()
  let total = 0
  let unproven = 0
  return {
    total: () => total,
    unproven: () => unproven,
    started: (id, isUnproven) => {
      total += 1
      if (isUnproven) unproven += 1
      const lane = lanes.get(id)
      if (lane === undefined) lanes.set(id, { count: 1, allowance: start })
      else lane.count += 1
    },
    ended: (id, isUnproven, isDelivered) => {
      total -= 1
      if (isUnproven) unproven -= 1
      const lane = lanes.get(id)
      if (lane === undefined) return
      lane.count -= 1
      lane.allowance = isDelivered ? Math.min(max, lane.allowance + 1) : start
      if (lane.count === 0) lanes.delete(id)
    },
    busyLanes: () =>
      [...lanes].filter(([, lane]) => lane.count >= lane.allowance).map(([id]) => id),
    rooms: () => {
      const grown = [...lanes].filter(
        ([, { count, allowance }]) => allowance > start && count < allowance,
      )
      return {
        lanes: grown.map(([id]) => id),
        sizes: grown.map(([, { count, allowance }]) => allowance - count),
      }
    },
  }
}
