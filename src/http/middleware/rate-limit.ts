import { createMiddleware } from 'hono/factory'
import { AppError } from '../../core/error.ts'
import type { Verdict } from '../../limits/window.ts'
import type { AppEnv } from '../env.ts'

/**
 * A principal has so many requests a minute. The answer says how many are left once that is less than half, and always where
 * there are none: to who is far from the limit these headers would cost more than the counting.
 */
export function limitPrincipal(take: (principalId: string) => Promise<Verdict>) {
  return createMiddleware<AppEnv>(async (c, next) => {
    const { isAllowed, limit, remaining, resetMs } = await take(c.get('principal').id)
    if (remaining >= limit / 2) return next()
    const resetS = Math.ceil(resetMs / 1000)
    c.header('ratelimit-limit', String(limit))
    c.header('ratelimit-remaining', String(remaining))
    c.header('ratelimit-reset', String(resetS))
    if (isAllowed) return next()
    const retryAfterS = Math.max(1, resetS)
    throw new AppError('RATE_LIMITED', `More than ${limit} requests in a minute.`, { retryAfterS })
  })
}
