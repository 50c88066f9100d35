import { type Logger, pino } from 'pino'
import { scrub } from './scrub.ts'

export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'debug'>

/** The process's log: JSON lines on stdout. Fields are snake_case and mean the same everywhere. */
export function makeLog(level: string, destination?: NodeJS.WritableStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
    hooks: { streamWrite: scrub },
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}

/**
 * What of an error may stand in the log: name, code, message, stack and cause. Never its other members: a driver's error
 * carries the parameters of its query, and so secrets.
 */
export function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? error.code : undefined
  // drizzle puts the query's parameters into the message; what happened is in the cause.
  const isQuery = error.name === 'DrizzleQueryError' || 'params' in error
  return {
    name: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    message: isQuery ? 'a query failed' : error.message,
    stack: isQuery ? undefined : error.stack,
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  }
}
