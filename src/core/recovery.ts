const DAY_MS = 86_400_000

/** What can be sent again in bulk. */
export const RECOVERABLE = ['failed', 'canceled', 'missed'] as const
export type Recoverable = (typeof RECOVERABLE)[number]

export interface Window {
  readonly sinceMs: number
  readonly untilMs: number
}

/** Which field of a recovery's window makes no sense, and why; or null. */
export function windowProblem(
  { sinceMs, untilMs }: Window,
  nowMs: number,
  retentionDays: number,
): { readonly path: 'since' | 'until'; readonly message: string } | null {
  if (sinceMs > nowMs) return { path: 'since', message: 'is in the future' }
  if (untilMs > nowMs) return { path: 'until', message: 'is in the future' }
  if (untilMs <= sinceMs) return { path: 'until', message: 'must be after since' }
  if (sinceMs < nowMs - retentionDays * DAY_MS) {
    return {
      path: 'since',
      message: `is before the retention of ${retentionDays} days: those bodies are gone`,
    }
  }
  return null
}
