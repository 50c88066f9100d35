/** Waits after the first, second, … failure, in seconds: ten tries over three days (Standard Webhooks' example). */
export const DEFAULT_SCHEDULE_S = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]

export const MAX_SCHEDULE_STEPS = 20
export const MAX_SCHEDULE_TOTAL_S = 30 * 86_400
const MAX_RETRY_AFTER_MS = 86_400_000

/** Why a retry schedule is not one, or null. An empty schedule is one: a single try. */
export function scheduleProblem(schedule: readonly number[]): string | null {
  if (schedule.length > MAX_SCHEDULE_STEPS) return `must have at most ${MAX_SCHEDULE_STEPS} steps`
  if (!schedule.every((wait) => Number.isInteger(wait) && wait >= 0)) {
    return 'must be whole seconds, none negative'
  }
  const total = schedule.reduce((sum, wait) => sum + wait, 0)
  return total > MAX_SCHEDULE_TOTAL_S ? 'must not wait longer than 30 days in all' : null
}

/** @param dice 0 to 1; spreads a wait over ±15 %, so that failures that came together do not come back together. */
export function withJitter(waitMs: number, dice: number): number {
  return Math.round(waitMs * (0.85 + 0.3 * dice))
}

/**
 * `Retry-After` in both forms (RFC 9110 §10.2.3), as a wait from now; null where it is missing, senseless or past.
 * Capped at 24 hours.
 */
export function retryAfterMs(header: string | undefined, nowMs: number): number | null {
  if (header === undefined) return null
  const text = header.trim()
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs
  return waitMs > 0 ? Math.min(waitMs, MAX_RETRY_AFTER_MS) : null
}
