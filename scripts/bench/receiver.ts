import { createServer, type Socket } from 'node:net'
import { verifyWebhook } from '../../src/index.ts'
import { headerOf, headersOf, makeReadRequests, type Request } from './read-requests.ts'

/**
 * The receiver of the bench, a process of its own: answers 200, counts webhooks and copies of them, verifies one in a
 * hundred. Below `/slow/<ms>/` it answers so much later, below `/status/<code>/` with that status. `POST /control/secrets` takes
 * the secrets by path, `POST /control/reset` starts a count, `GET /control/counts` reports it. Its port goes to the parent.
 *
 * It shares the machine with what is measured, so it does without `node:http`. Its answers carry the headers that one of those
 * sends, which keeps the client's work what it is.
 */
export interface Counts {
  /** Answered with 200. */
  readonly received: number
  /** Copies of a webhook that was received before. */
  readonly twice: number
  readonly verified: number
  readonly forged: number
  /** Answered with another status. */
  readonly refused: number
}

const VERIFY_EACH = 100
const NOTHING = { received: 0, twice: 0, verified: 0, forged: 0, refused: 0 }

/** Ids by path: what is here a second time is a copy. */
const seen = new Map<string, Set<string>>()
let secrets: Readonly<Record<string, string>> = {}
let counts = { ...NOTHING }

const server = createServer({ noDelay: true }, (socket) => {
  const read = makeReadRequests((request) => {
    const { path, body } = request
    if (path.startsWith('/control/')) answer(socket, 200, control(path, body.toString()))
    else receive(socket, request)
  })
  socket.on('data', read)
  // A client that goes away has had its answers, or wants none.
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' && address !== null ? address.port : 0 })
})
process.on('disconnect', () => process.exit())

function receive(socket: Socket, request: Request): void {
  const [, kind, figure] = request.path.split('/', 3)
  if (kind === 'status') {
    counts.refused += 1
    answer(socket, Number(figure), 'no')
    return
  }
  count(request)
  if (kind === 'slow') setTimeout(answer, Number(figure), socket, 200, 'ok')
  else answer(socket, 200, 'ok')
}

function count({ path, head, body }: Request): void {
  const id = headerOf(head, 'webhook-id') ?? ''
  const ids = seen.get(path) ?? new Set()
  if (ids.size === 0) seen.set(path, ids)
  counts.received += 1
  if (ids.has(id)) counts.twice += 1
  else ids.add(id)
  if (counts.received % VERIFY_EACH !== 0) return
  try {
    verifyWebhook(secrets[path] ?? '', headersOf(head), body)
    counts.verified += 1
  } catch {
    counts.forged += 1
  }
}

let date = new Date().toUTCString()
setInterval(() => (date = new Date().toUTCString()), 1000)

function answer(socket: Socket, status: number, body: string): void {
  socket.write(
    `HTTP/1.1 ${status} ${status === 200 ? 'OK' : 'Not OK'}\r\nDate: ${date}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    'latin1',
  )
}

function control(path: string, body: string): string {
  switch (path) {
    case '/control/secrets':
      secrets = JSON.parse(body)
      return 'ok'
    case '/control/reset':
      seen.clear()
      counts = { ...NOTHING }
      return 'ok'
    default:
      return JSON.stringify(counts)
  }
}
