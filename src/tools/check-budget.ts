import { AppError } from '../core/error.ts'

/** What takes less is nobody's concern. */
const SLOW_MS = 25
const WINDOW_MS = 10_000
const MAX_SLOW_MS = 1000
const MAX_ORGS = 10_000

/**
 * Bounds what checks of arguments take of the process: an org whose checks are slow has a second for them in ten. Each check is
 * bounded by itself; this bounds that they come again and again.
 *
 * @throws AppError `RATE_LIMITED` for who has used up its time
 */
export function makeCheckBudget(nowMs: () => number) {
  const windows = new Map<string, { spentMs: number; readonly endsAtMs: number }>()

  function note(orgId: string, ms: number): void {
    if (ms < SLOW_MS) return
    const now = nowMs()
    const known = windows.get(orgId)
    const isOpen = known !== undefined && known.endsAtMs > now
    const window = isOpen ? known : { spentMs: 0, endsAtMs: now + WINDOW_MS }
    window.spentMs += ms
    if (windows.size >= MAX_ORGS) windows.clear()
    windows.set(orgId, window)
  }

  return function within<Result>(orgId: string, work: () => Result): Result {
    const startedAt = nowMs()
    const window = windows.get(orgId)
    if (window !== undefined && window.spentMs >= MAX_SLOW_MS && window.endsAtMs > startedAt) {
      const retryAfterS = Math.ceil((window.endsAtMs - startedAt) / 1000)
      const message = `The org's arguments take too long to check; try again in ${retryAfterS} s, or with simpler schemas.`
      throw new AppError('RATE_LIMITED', message, { retryAfterS })
    }
    try {
      return work()
    } finally {
      note(orgId, nowMs() - startedAt)
    }
  }
}
