import type { Context } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { AppError, type ErrorCode } from '../core/error.ts'
import type { Log } from '../telemetry/log.ts'
import { scrub } from '../telemetry/scrub.ts'
import type { AppEnv } from './env.ts'

/** The one place where a failure becomes a status. A new code does not compile until it has one. */
export const STATUS = {
  INVALID_BODY: 400,
  INVALID_QUERY: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  PAYLOAD_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  UNPROCESSABLE: 422,
  RATE_LIMITED: 429,
  TOOL_FAILED: 502,
  TOOL_TIMEOUT: 504,
  UNAVAILABLE: 503,
  INTERNAL: 500,
} as const satisfies Record<ErrorCode, number>

const TITLES: Readonly<Record<ErrorCode, string>> = {
  INVALID_BODY: 'The request body is not valid',
  INVALID_QUERY: 'The query is not valid',
  UNAUTHENTICATED: 'Not authenticated',
  FORBIDDEN: 'Not allowed',
  NOT_FOUND: 'Not found',
  CONFLICT: 'Conflict',
  PAYLOAD_TOO_LARGE: 'Too large',
  UNSUPPORTED_MEDIA_TYPE: 'Unsupported media type',
  UNPROCESSABLE: 'Cannot be processed',
  RATE_LIMITED: 'Too many requests',
  TOOL_FAILED: 'The tool failed',
  TOOL_TIMEOUT: 'The tool did not answer in time',
  UNAVAILABLE: 'Not available right now',
  INTERNAL: 'Something broke',
}

/** An error as `application/problem+json`. [RFC 9457] */
export function toProblem(error: AppError, requestId: string, instance: string) {
  return {
    type: 'about:blank',
    title: TITLES[error.code],
    status: STATUS[error.code],
    detail: error.message,
    instance,
    error: error.code,
    requestId,
    ...(error.details.length === 0 ? {} : { details: error.details }),
    ...error.members,
  }
}

export function problemResponse(c: Context<AppEnv>, error: AppError): Response {
  const requestId = c.get('requestId') ?? ''
  c.set('errorCode', error.code)
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' }
  if (error.code === 'UNAUTHENTICATED') headers['www-authenticate'] = 'Bearer'
  if (error.code === 'RATE_LIMITED' || error.code === 'UNAVAILABLE') {
    headers['retry-after'] = String(error.retryAfterS ?? 1)
  }
  // The rest of such a body is not read, so no further request can come on this connection.
  if (error.code === 'PAYLOAD_TOO_LARGE') headers.connection = 'close'
  const body = toProblem(error, requestId, scrub(new URL(c.req.url).pathname))
  return c.body(JSON.stringify(body), STATUS[error.code], headers)
}

/** Turns whatever was thrown into a problem. What nobody expected is a bug: logged here, once, and answered with an id. */
export function makeOnError(log: Log) {
  return (error: unknown, c: Context<AppEnv>): Response => {
    const known = toAppError(error)
    if (known.code === 'INTERNAL') {
      log.error({ err: error, request_id: c.get('requestId') }, 'request.broke')
    }
    return problemResponse(c, known)
  }
}

export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (error instanceof HTTPException) {
    if (error.status === 413) return new AppError('PAYLOAD_TOO_LARGE', 'The body is over 1 MiB.')
    if (error.status === 400) return new AppError('INVALID_BODY', 'The body is not valid JSON.')
  }
  if (isUnstorable(error)) {
    return new AppError(
      'INVALID_BODY',
      'A value of the request cannot be stored: a NUL character, half a surrogate pair, or a time out of range.',
      { cause: error },
    )
  }
  if (isDatabaseAway(error)) {
    return new AppError('UNAVAILABLE', 'The database cannot be reached.', { cause: error })
  }
  return new AppError(
    'INTERNAL',
    'An error inside Patchbay. The log has it under this request id.',
    {
      cause: error,
    },
  )
}

/** What Postgres says of text or times that passed every check of ours and that it cannot keep. */
const UNSTORABLE_CODES = new Set(['22021', '22P02', '22P05', '22007', '22008'])

function isUnstorable(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string' && UNSTORABLE_CODES.has(at.code)) return true
  }
  return false
}

const AWAY_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  '57P01',
  '57P02',
  '57P03',
  '53300',
  // A lock that could not be had in time.
  '55P03',
])

/** What pg gives no code. */
const AWAY_MESSAGES = new Set([
  'Connection terminated unexpectedly',
  'Client has encountered a connection error and is not queryable',
  'timeout exceeded when trying to connect',
  'Connection terminated due to connection timeout',
])

/** A connection that could not be had or was cut: the request may be tried again. */
export function isDatabaseAway(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = 'code' in at && typeof at.code === 'string' ? at.code : ''
    if (AWAY_CODES.has(code) || code.startsWith('08')) return true
    if (AWAY_MESSAGES.has(at.message)) return true
  }
  return false
}
