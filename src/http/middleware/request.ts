import { randomUUID } from 'node:crypto'
import { bodyLimit } from 'hono/body-limit'
import { createMiddleware } from 'hono/factory'
import { AppError } from '../../core/error.ts'
import type { Log } from '../../telemetry/log.ts'
import type { AppEnv } from '../env.ts'

const REQUEST_ID = /^[A-Za-z0-9_.:-]{1,128}$/
const MAX_BODY_BYTES = 1_048_576

/** Gives the request its id (the caller's, if it sent a sane one) and logs it in one line at its end. */
export function requestLog(log: Log) {
  return createMiddleware<AppEnv>(async (c, next) => {
    const given = c.req.header('x-request-id') ?? ''
    const requestId = REQUEST_ID.test(given) ? given : randomUUID()
    c.set('requestId', requestId)
    const startedAt = performance.now()
    await next()
    c.header('x-request-id', requestId)
    c.header('x-content-type-options', 'nosniff')
    if (!c.res.headers.has('cache-control')) c.header('cache-control', 'no-store')
    log.info(
      {
        request_id: requestId,
        method: c.req.method,
        path: new URL(c.req.url).pathname,
        status: c.res.status,
        duration_ms: Math.round(performance.now() - startedAt),
        principal_id: c.get('principal')?.id,
      },
      'request.answered',
    )
  })
}

export const limitBody = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: () => {
    throw new AppError('PAYLOAD_TOO_LARGE', 'The body is over 1 MiB.')
  },
})

/** A body is JSON and says so. Without a body there is nothing to check. */
export const requireJson = createMiddleware<AppEnv>(async (c, next) => {
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return next()
  const text = await c.req.text()
  if (text === '') return next()
  const type = (c.req.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  if (type !== 'application/json') {
    throw new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send application/json.')
  }
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
