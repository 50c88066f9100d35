import { randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { createMiddleware } from 'hono/factory'
import { matchedRoutes } from 'hono/route'
import { AppError } from '../../core/error.ts'
import { isOrgId } from '../../core/id.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Meter } from '../../telemetry/meter.ts'
import { bodyBounds } from '../body-bounds.ts'
import { clientAddress } from '../client-address.ts'
import type { AppEnv } from '../env.ts'
import { jsonBoundsProblem } from '../json-bounds.ts'
import { SECURITY_HEADERS } from '../security-headers.ts'

/** That are counted one by one; a caller may send thirty others. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const REQUEST_ID = /^[A-Za-z0-9_.:-]{1,128}$/

interface RequestLogDeps {
  readonly log: Log
  readonly meter: Pick<Meter, 'requestAnswered'>
  /** Whether an address is that of a proxy of the operator's. */
  readonly isTrusted: (address: string) => boolean
}

/**
 * Gives the request its id (the caller's, if it sent a sane one) and its address, its answer the headers that every answer
 * has, and logs and counts it at its end.
 */
export function requestLog({ log, meter, isTrusted }: RequestLogDeps) {
  return createMiddleware<AppEnv>(async (c, next) => {
    const given = c.req.header('x-request-id') ?? ''
    const requestId = REQUEST_ID.test(given) ? given : randomUUID()
    c.set('requestId', requestId)
    // Without a server there is no `env` at all, whatever its type says.
    const peer = c.env?.incoming?.socket.remoteAddress
    const isProxied = peer !== undefined && isTrusted(peer)
    const forwardedFor = isProxied ? (c.req.header('x-forwarded-for') ?? '') : ''
    c.set('address', peer === undefined ? peer : clientAddress(peer, forwardedFor, isTrusted))
    const headers: Record<string, string> = { ...SECURITY_HEADERS, 'x-request-id': requestId }
    if (isProxied && c.req.header('x-forwarded-proto') === 'https') {
      headers['strict-transport-security'] = 'max-age=31536000'
    }
    // Before the answer is made: what it is made of then takes them in at once.
    for (const name in headers) c.header(name, headers[name])
    const startedAt = performance.now()
    await next()
    if (!c.res.headers.has('x-request-id')) addMissing(c, headers)
    const { method } = c.req
    const { status } = c.res
    const durationMs = performance.now() - startedAt
    const counted = METHODS.has(method) ? method : 'other'
    meter.requestAnswered({ method: counted, route: routeOf(c), status }, durationMs)
    log.info(
      {
        request_id: requestId,
        method,
        path: new URL(c.req.url).pathname,
        status,
        error: c.get('errorCode'),
        duration_ms: Math.round(durationMs),
        org_id: c.get('orgId'),
        principal_id: c.get('principal')?.id,
        address: c.get('address'),
      },
      'request.answered',
    )
  })
}

/** As it was declared, so that there are no more of them than routes; what nobody declared is one. */
function routeOf(c: Context<AppEnv>): string {
  // Middlewares stand among them, also behind a route.
  return matchedRoutes(c).findLast(({ path }) => !path.includes('*'))?.path ?? 'none'
}

/** An answer that was not made by the context knows nothing of the headers that were prepared there. */
function addMissing(c: Context<AppEnv>, headers: Readonly<Record<string, string>>): void {
  for (const name in headers) if (!c.res.headers.has(name)) c.header(name, headers[name])
}

/** Notes the org that is asked about, for the log. Stands behind what sets `authorize`. */
export const noteOrg = createMiddleware<AppEnv>((c, next) => {
  const authorize = c.get('authorize')
  c.set('authorize', (orgId, requirement) => {
    if (isOrgId(orgId)) c.set('orgId', orgId)
    return authorize(orgId, requirement)
  })
  return next()
})

/** A body comes as it is: what its size, its depth and an `Idempotency-Key` are held against is what was sent. */
export const refuseCodings = createMiddleware<AppEnv>((c, next) => {
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return next()
  const codings = (c.req.header('content-encoding') ?? '').split(',')
  if (codings.every((coding) => /^(?:identity)?$/i.test(coding.trim()))) return next()
  // With 415 it says which codings would be taken. [RFC 9110 §12.5.3]
  c.header('accept-encoding', 'identity')
  throw new AppError(
    'UNSUPPORTED_MEDIA_TYPE',
    'Send the body as it is: no Content-Encoding but identity is understood.',
  )
})

/** Reads a body of unknown length, and no more of it than it may. */
export const limitBody = createMiddleware<AppEnv>(async (c, next) => {
  const { maxBytes, size } = bodyBounds(c.req.path)
  const refuseLarge = (): never => {
    throw new AppError('PAYLOAD_TOO_LARGE', `The body is over ${size}.`)
  }
  // Already to look at a body begins to read it, and asks for it where the caller waits for that.
  if (Number(c.req.header('content-length')) > maxBytes) refuseLarge()
  const limit = bodyLimit({ maxSize: maxBytes, onError: refuseLarge })
  await limit(c, next).catch((error: unknown) => {
    throw error instanceof AppError ? error : incomplete(error)
  })
})

/** Whoever sent it is gone, or was cut off: no trouble of ours, and nobody is left to hear of it. */
function incomplete(cause: unknown): AppError {
  return new AppError('INVALID_BODY', 'The body did not arrive whole.', { cause })
}

/** A body is JSON and says so. Without a body there is nothing to check. */
export const requireJson = createMiddleware<AppEnv>(async (c, next) => {
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return next()
  const text = await c.req.text().catch((error: unknown) => {
    throw incomplete(error)
  })
  if (text === '') return next()
  const type = (c.req.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  if (type !== 'application/json') {
    throw new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send application/json.')
  }
  const problem = jsonBoundsProblem(text, bodyBounds(c.req.path).maxMembers)
  if (problem !== null) throw new AppError('INVALID_BODY', `The body ${problem}.`)
  try {
    JSON.parse(text)
  } catch (error) {
    throw new AppError('INVALID_BODY', 'The body is not valid JSON.', {
      cause: error,
      details: [{ path: '', message: error instanceof Error ? error.message : 'not JSON' }],
    })
  }
  return next()
})
