/** So many, at most, in each window of time. */
export interface Limit {
  readonly points: number
  readonly windowMs: number
}

export interface Verdict {
  readonly isAllowed: boolean
  readonly limit: number
  /** As far as this process knows. */
  readonly remaining: number
  /** Until the window ends and all points are back. */
  readonly resetMs: number
}

/** What a process asks the count that all processes share. */
export interface Ask {
  /** Given already, without having asked. */
  readonly debt: number
  readonly wanted: number
}

/**
 * What one process knows of a window that all processes share.
 *
 * A process gives a hundredth of a limit without asking (the allowance), so that a caller who is far from the limit costs the
 * database nothing; then it takes points from the shared count, a hundredth at a time, before it gives them. All processes
 * together therefore give `points` and one allowance for each process, at most: 1 % more for each. What a process has taken
 * and does not use until the window ends is lost, again 1 % for each. Limits under 100 are exact.
 */
export interface CountedWindow {
  /** May be given: allowance, or taken from the shared count. */
  credit: number
  /** Given out of the allowance; the shared count does not know of it yet. */
  debt: number
  isAllowance: boolean
  /** Of all processes, as last heard. */
  total: number
  endsAtMs: number
}

export function shareOf(limit: Limit): number {
  return Math.floor(limit.points / 100)
}

export function openWindow(limit: Limit, nowMs: number): CountedWindow {
  return {
    credit: shareOf(limit),
    debt: 0,
    isAllowance: true,
    total: 0,
    endsAtMs: nowMs + limit.windowMs,
  }
}

/** Gives one point, if the process has one. */
export function spend(window: CountedWindow): boolean {
  if (window.credit === 0) return false
  window.credit -= 1
  if (window.isAllowance) window.debt += 1
  return true
}

/** A point that is given although nobody could be asked. It is counted when somebody can. */
export function spendUnasked(window: CountedWindow): void {
  window.debt += 1
}

/** Whether the shared count has nothing left until the window ends. */
export function isUsedUp(window: CountedWindow, limit: Limit): boolean {
  return window.credit === 0 && window.total >= limit.points
}

export function toAsk(window: CountedWindow, limit: Limit, waiting: number): Ask {
  return { debt: window.debt, wanted: Math.max(1, waiting, shareOf(limit)) }
}

/** Takes in what the shared count says after an ask: its total with the ask in it, and when its window ends. */
export function settle(
  window: CountedWindow,
  limit: Limit,
  ask: Ask,
  counted: { readonly total: number; readonly endsAtMs: number },
): void {
  const left = limit.points - (counted.total - ask.wanted)
  const granted = Math.min(Math.max(left, 0), ask.wanted)
  window.credit = (window.isAllowance ? 0 : window.credit) + granted
  window.isAllowance = false
  window.debt -= ask.debt
  window.total = counted.total
  window.endsAtMs = counted.endsAtMs
}

export function verdictOf(
  window: CountedWindow,
  limit: Limit,
  nowMs: number,
  isAllowed: boolean,
): Verdict {
  const credit = window.isAllowance ? 0 : window.credit
  const used = Math.min(window.total, limit.points) - credit + window.debt
  return {
    isAllowed,
    limit: limit.points,
    remaining: isAllowed ? Math.max(0, limit.points - used) : 0,
    resetMs: Math.max(0, window.endsAtMs - nowMs),
  }
}
