import { cors } from 'hono/cors'
import { createMiddleware } from 'hono/factory'
import type { AppEnv } from '../env.ts'

/**
 * Lets pages of the given origins call the API, with their token in a header: no cookie is ever read, so no credentials are
 * allowed. A preflight of another origin gets the answer that it would get without CORS.
 */
export function allowOrigins(origins: readonly string[]) {
  const known = new Set(origins)
  const answer = cors({
    origin: [...origins],
    allowMethods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowHeaders: ['authorization', 'content-type', 'idempotency-key', 'x-request-id'],
    exposeHeaders: [
      'idempotency-replayed',
      'ratelimit-limit',
      'ratelimit-remaining',
      'ratelimit-reset',
      'retry-after',
      'x-request-id',
    ],
    maxAge: 600,
  })
  return createMiddleware<AppEnv>(async (c, next) => {
    const isPreflight = c.req.header('access-control-request-method') !== undefined
    const isAsked = c.req.method !== 'OPTIONS' || isPreflight
    if (isAsked && known.has(c.req.header('origin') ?? '')) return answer(c, next)
    c.header('vary', 'Origin')
    return next()
  })
}
