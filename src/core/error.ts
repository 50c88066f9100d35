/** The failures Patchbay names. A code is public: it appears in responses, logs and tests. */
export type ErrorCode =
  | 'INVALID_BODY'
  | 'INVALID_QUERY'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'PAYLOAD_TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'UNPROCESSABLE'
  | 'RATE_LIMITED'
  | 'TOOL_FAILED'
  | 'TOOL_TIMEOUT'
  | 'UNAVAILABLE'
  | 'INTERNAL'

/** Which field is wrong, and why, in words for the person who sent it. */
export interface ErrorDetail {
  readonly path: string
  readonly message: string
}

interface AppErrorOptions extends ErrorOptions {
  readonly details?: readonly ErrorDetail[]
  /** Further public members of the answer, like a failed run's `runId`. */
  readonly members?: Readonly<Record<string, unknown>>
  /** When it is worth another try. */
  readonly retryAfterS?: number
}

/** A failure someone is meant to see. Anything else that is thrown is a bug. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly details: readonly ErrorDetail[]
  readonly members: Readonly<Record<string, unknown>>
  readonly retryAfterS: number | null

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.details = options.details ?? []
    this.members = options.members ?? {}
    this.retryAfterS = options.retryAfterS ?? null
  }
}

/** A body field that is wrong: `INVALID_BODY` with that field as its one detail. */
export function invalidField(path: string, message: string): AppError {
  return new AppError('INVALID_BODY', `${path}: ${message}`, { details: [{ path, message }] })
}

/** One text for "does not exist" and "belongs to someone else", so that the answer tells nothing. */
export function notFound(what: string): AppError {
  return new AppError('NOT_FOUND', `No such ${what}.`)
}
