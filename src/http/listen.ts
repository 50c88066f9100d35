import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { getRequestListener, type HttpBindings, RequestError } from '@hono/node-server'
import type { Log } from '../telemetry/log.ts'
import {
  BAD_TARGET,
  BROKEN,
  headProblem,
  NO_EXPECTATION,
  type Refusal,
  refusalBytes,
  refusalOf,
  refusalResponse,
} from './refusal.ts'

type Fetch = (request: Request, env: HttpBindings) => Response | Promise<Response>

export interface Listener extends AsyncDisposable {
  readonly url: string
  /** What answers from now on. */
  readonly use: (next: Fetch) => void
}

/** The port cannot be had. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
}

interface ListenOptions {
  /** That the port comes from; `PORT` unless it says otherwise. */
  readonly setting?: string
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
  readonly timeouts?: Partial<typeof TIMEOUTS>
  readonly maxConnections?: number
}

const TIMEOUTS = {
  /** From the first byte, or from the connection, to the end of the headers. */
  headersMs: 10_000,
  /** To the end of the body. */
  requestMs: 60_000,
  /** Between requests: longer than what usual proxies keep a connection, so that it is they who close it. */
  keepAliveMs: 65_000,
  /** Nothing read and nothing written, whatever is going on: who does not read an answer keeps it no longer. */
  idleMs: 600_000,
  /** How often the first two are looked at. */
  checkMs: 5000,
}
/** Fewer than a process may have files, so that it can still reach its database when strangers hold all of these. */
const MAX_CONNECTIONS = 4000
const MAX_HEADER_BYTES = 16_384
const CLOSE_GRACE_MS = 5000
const CLOSE_IDLE_EVERY_MS = 50
const DROPS_TOLD_EVERY_MS = 60_000

/**
 * Listens at once, with an app that can be replaced: the port is known, and `/healthz` answers, while the database is still
 * being waited for.
 *
 * @throws ListenError when the port is taken or not ours to take
 */
export async function listen(
  host: string,
  port: number,
  first: Fetch,
  options: ListenOptions,
): Promise<Listener> {
  const current = { fetch: first }
  const { setting = 'PORT' } = options
  const server = openServer(current, options)
  const actualPort = await new Promise<number>((done, fail) => {
    server.once('error', (error) => {
      const code = 'code' in error ? error.code : ''
      const why =
        code === 'EADDRINUSE'
          ? `is taken by another process: stop it, or set ${setting} to another one (0: any free port)`
          : `cannot be opened: ${error.message}`
      fail(new ListenError(`${setting}: ${host}:${port} ${why}`, { cause: error }))
    })
    server.listen(port, host, () => {
      const address = server.address()
      done(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`,
    use: (next) => {
      current.fetch = next
    },
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((done) => server.close(done))
      server.closeIdleConnections()
      // A caller may keep a connection on which the last answer has just gone out.
      const sweeper = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_EVERY_MS)
      const timer = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
      await closed
      clearTimeout(timer)
      clearInterval(sweeper)
    },
  }
}

function openServer(current: { fetch: Fetch }, options: ListenOptions): Server {
  const { log } = options
  const timeouts = { ...TIMEOUTS, ...options.timeouts }
  const server = createServer({
    headersTimeout: timeouts.headersMs,
    requestTimeout: timeouts.requestMs,
    keepAliveTimeout: timeouts.keepAliveMs,
    connectionsCheckingInterval: timeouts.checkMs,
    maxHeaderSize: MAX_HEADER_BYTES,
    insecureHTTPParser: false,
    // Answered in our own form, by `headProblem`.
    requireHostHeader: false,
  })
  server.setTimeout(timeouts.idleMs)
  server.maxHeadersCount = 0
  server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS
  server.on('drop', makeTellDrops(log))

  /** One line for what is refused here, as for a request: a connection is refused once, and ends. */
  const told = new WeakMap<Socket, string>()
  const tell = (refusal: Refusal, socket: Socket, reason: string): string => {
    const requestId = told.get(socket) ?? randomUUID()
    if (told.has(socket)) return requestId
    told.set(socket, requestId)
    const { status, error } = refusal
    const address = socket.remoteAddress
    log.info({ request_id: requestId, status, error, reason, address }, 'request.refused')
    return requestId
  }
  const refuse = (refusal: Refusal, socket: Socket, reason = refusal.detail) =>
    refusalResponse(refusal, tell(refusal, socket, reason))

  /** The answers that a connection still waits for: more than one where requests came without waiting. No `Set`, see `onAbort`. */
  const answers = new WeakMap<Socket, ServerResponse[]>()
  const respond = (refusal?: Refusal) => (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { socket } = incoming
    const owed = answers.get(socket) ?? []
    answers.set(socket, owed)
    owed.push(outgoing)
    outgoing.once('close', () => owed.splice(owed.indexOf(outgoing), 1))
    const listener = getRequestListener(
      (request, env) => {
        const problem = refusal ?? headProblem(incoming)
        if (problem !== null) return refuse(problem, socket)
        // Never HTTP/2: the server above speaks none.
        return current.fetch(request, env as HttpBindings)
      },
      {
        // Of a request that names none and may do so: nothing depends on it.
        hostname: 'localhost',
        errorHandler: (error) => {
          if (error instanceof RequestError) return refuse(BAD_TARGET, socket, error.message)
          // The app answers what is thrown in it, so this is a bug of its frame.
          log.error({ err: error }, 'request.broke')
          return refuse(BROKEN, socket)
        },
      },
    )
    void listener(incoming, outgoing)
  }
  server.on('request', respond())
  server.on('checkContinue', (incoming, outgoing) => {
    continueLate(incoming, outgoing)
    respond()(incoming, outgoing)
  })
  server.on('checkExpectation', respond(NO_EXPECTATION))
  server.on('clientError', (error: Error & { code?: string }, socket: Socket) => {
    const refusal = refusalOf(error.code ?? '')
    const owed = [...(answers.get(socket) ?? [])]
    const isBegun = owed.some((answer) => answer.headersSent && !answer.writableFinished)
    if (error.code !== 'ECONNRESET' && socket.writable) {
      const requestId = tell(refusal, socket, error.code ?? error.message)
      // In the middle of an answer a second one would be taken for a part of it.
      if (!isBegun) socket.write(refusalBytes(refusal, requestId))
    }
    socket.destroySoon()
  })
  return server
}

/**
 * Asks for the body when it is first read, so never for one that is refused for its token, its path or its size. Such an
 * answer ends the connection: whether the body comes all the same nobody can know. [RFC 9110 §10.1.1]
 */
function continueLate(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { shouldKeepAlive } = outgoing
  outgoing.shouldKeepAlive = false
  incoming.once('resume', () => {
    // What is left unread is drained behind the answer.
    if (outgoing.headersSent) return
    outgoing.writeContinue()
    outgoing.shouldKeepAlive = shouldKeepAlive
  })
}

function makeTellDrops(log: Pick<Log, 'warn'>): () => void {
  let toldAtMs = Number.NEGATIVE_INFINITY
  return () => {
    if (performance.now() - toldAtMs < DROPS_TOLD_EVERY_MS) return
    toldAtMs = performance.now()
    log.warn({}, 'connections.dropped')
  }
}
