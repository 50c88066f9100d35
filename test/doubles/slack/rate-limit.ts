/** Seconds to wait; null: go ahead. */
export type RateLimit = (key: string) => number | null

/**
 * One message a second for each key, short bursts allowed. [Slack, rate limits: 1 message a second and channel, webhooks
 * 1/s; how short a burst is allowed is not published]
 */
export function makeRateLimit(burst: number, now: () => number): RateLimit {
  const levels = new Map<string, { readonly left: number; readonly atMs: number }>()
  return (key) => {
    const atMs = now()
    const level = levels.get(key) ?? { left: burst, atMs }
    const left = Math.min(burst, level.left + (atMs - level.atMs) / 1000)
    const isAllowed = left >= 1
    levels.set(key, { left: isAllowed ? left - 1 : left, atMs })
    return isAllowed ? null : Math.ceil(1 - left)
  }
}
