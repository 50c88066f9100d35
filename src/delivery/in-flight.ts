import type { OutcomeKind } from '../core/delivery.ts'

/** What is in flight in this process, lane by lane, and how much more of each may be. */
export interface InFlight {
  readonly total: () => number
  readonly unproven: () => number
  readonly started: (lane: string, isUnproven: boolean) => void
  /** @param coolingMs for so long it counts among the unproven still */
  readonly ended: (
    lane: string,
    isUnproven: boolean,
    outcome: OutcomeKind,
    coolingMs: number,
  ) => void
  /** Lanes that have enough. */
  readonly busyLanes: () => string[]
  /** Lanes that have earned more room than a new one has, with what is left of it. */
  readonly rooms: () => { readonly lanes: string[]; readonly sizes: number[] }
}

interface Lane {
  count: number
  allowance: number
  /** It had as many in flight as it may: only then is it worth knowing that it could do with more. */
  isFull: boolean
}

/** Lanes whose allowance is kept while nothing of theirs is in flight. */
const MAX_KEPT = 1000

/**
 * Slow start, as TCP has it: a lane begins with `start` deliveries in flight; while it uses all of that, each success adds one,
 * up to `max`; a failure halves it, and what is our own trouble does neither. So an endpoint that hangs takes a few slots, and one that answers soon has all it can use.
 */
export function makeInFlight(start: number, max: number): InFlight {
  const lanes = new Map<string, Lane>()
  let total = 0
  let unproven = 0

  function forget(id: string, lane: Lane): void {
    if (lane.count > 0) return
    if (lane.allowance === start) lanes.delete(id)
    else if (lanes.size > MAX_KEPT) {
      for (const [other, { count }] of lanes) {
        if (count === 0) lanes.delete(other)
        if (lanes.size <= MAX_KEPT) break
      }
    }
  }

  return {
    total: () => total,
    unproven: () => unproven,
    started: (id, isUnproven) => {
      total += 1
      if (isUnproven) unproven += 1
      const lane = lanes.get(id) ?? { count: 0, allowance: start, isFull: false }
      lane.count += 1
      lane.isFull ||= lane.count >= lane.allowance
      lanes.set(id, lane)
    },
    ended: (id, isUnproven, outcome, coolingMs) => {
      total -= 1
      if (isUnproven && coolingMs === 0) unproven -= 1
      else if (isUnproven) setTimeout(() => (unproven -= 1), coolingMs).unref()
      const lane = lanes.get(id)
      if (lane === undefined) return
      lane.count -= 1
      if (outcome === 'delivered') {
        if (lane.isFull) lane.allowance = Math.min(max, lane.allowance + 1)
      } else if (outcome !== 'interrupted') {
        lane.allowance = Math.max(start, Math.floor(lane.allowance / 2))
      }
      if (lane.count === 0) lane.isFull = false
      forget(id, lane)
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
