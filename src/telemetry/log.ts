import { type Logger, pino } from 'pino'
import { scrub } from './scrub.ts'

/** More than that does not wait for the end of its turn. */
const MAX_TURN_CHARS = 65_536

export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'debug'>

/** The process's log: JSON lines on stdout. Fields are snake_case and mean the same everywhere. */
export function makeLog(level: string, destination?: NodeJS.WritableStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: makeTimestamp(),
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
    hooks: { streamWrite: scrub },
  }
  return pino(options, destination ?? turnByTurn())
}

/**
 * Stdout, the lines of one turn of the event loop in one write: a system call for each costs a worker at full load more than
 * all else that a line costs. Whatever ends the process but SIGKILL, no line is lost; with it, those of the turn.
 */
function turnByTurn(): pino.DestinationStream & { readonly flushSync: () => void } {
  const stdout = pino.destination({ dest: 1, sync: true })
  let lines = ''
  const flushSync = () => {
    if (lines === '') return
    const text = lines
    lines = ''
    stdout.write(text)
  }
  process.on('exit', flushSync)
  return {
    write: (line) => {
      if (lines === '') setImmediate(flushSync)
      lines += line
      if (lines.length > MAX_TURN_CHARS) flushSync()
    },
    // What is fatal does not wait for the end of the turn: pino calls this.
    flushSync,
  }
}

/** The member `time` of a line, ISO 8601 with milliseconds. A busy millisecond has many lines: its text is made once. */
function makeTimestamp(): () => string {
  let atMs = 0
  let text = ''
  return () => {
    const nowMs = Date.now()
    if (nowMs !== atMs) {
      atMs = nowMs
      text = `,"time":"${new Date(nowMs).toISOString()}"`
    }
    return text
  }
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
