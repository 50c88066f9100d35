import { cors } from 'hono/cors'
import { createMiddleware } from 'hono/factory'
import type { AppEnv } from '../env.ts'

/** The one answer whose cookie a browser is to keep. */
const WITH_COOKIE = '/integrations/slack/install'

/**
 * Lets pages of the given origins call the API, with their token in a header: no cookie says who is asking, so no credentials
 * are allowed, but where an install begins, whose cookie the browser keeps for its way back. A preflight of another origin gets
 * the answer that it would get without CORS.
 */
export function allowOrigins(origins: readonly string[]) {
  const known = new Set(origins)
  const answerFor = (credentials: boolean) =>
    cors({
      credentials,
      origin: [...origins],
      allowMethods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      allowHeaders: [
        'authorization',
        'content-type',
        'idempotency-key',
        'mcp-method',
        'mcp-name',
        'mcp-protocol-version',
        'x-request-id',
      ],
      exposeHeaders: [
        'idempotency-replayed',
        'ratelimit-limit',
        'ratelimit-remaining',
        'ratelimit-reset',
        'retry-after',
        'www-authenticate',
        'x-request-id',
      ],
      maxAge: 600,
    })
  const plain = answerFor(false)
  const withCookie = answerFor(true)
  return createMiddleware<AppEnv>(async (c, next) => {
    const isPreflight = c.req.header('access-control-request-method') !== undefined
    const isAsked = c.req.method !== 'OPTIONS' || isPreflight
    if (isAsked && known.has(c.req.header('origin') ?? '')) {
      return new URL(c.req.url).pathname === WITH_COOKIE ? withCookie(c, next) : plain(c, next)
    }
    c.header('vary', 'Origin')
    return next()
  })
}
