import { createServer, type Socket } from 'node:net'
import { verifyWebhook } from '../../src/index.ts'

/**
 * The receiver of the bench, a process of its own: answers 200, counts webhooks and copies of them, verifies one in a
 * hundred. Below `/slow/<ms>/` it answers so much later, below `/status/<code>/` with that status. `POST /control/secrets` takes
 * the secrets by path, `POST /control/reset` starts a count, `GET /control/counts` reports it. Its port goes to the parent.
 *
 * It shares the machine with what is measured, so it reads as much of HTTP/1.1 as its clients write: a head, a content-length,
 * a body, in whatever pieces they come. Its answers carry the headers that a server of `node:http` sends.
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
const END_OF_HEAD = Buffer.from('\r\n\r\n')
const NOTHING = { received: 0, twice: 0, verified: 0, forged: 0, refused: 0 }

/** Ids by path: what is here a second time is a copy. */
const seen = new Map<string, Set<string>>()
let secrets: Readonly<Record<string, string>> = {}
let counts = { ...NOTHING }

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer | null = null
  socket.on('data', (chunk: Buffer) => {
    const bytes = rest === null ? chunk : Buffer.concat([rest, chunk])
    let at = 0
    while (at < bytes.length) {
      const end = takeRequest(socket, bytes, at)
      if (end === null) break
      at = end
    }
    rest = at < bytes.length ? bytes.subarray(at) : null
  })
  // A client that goes away has had its answers, or wants none.
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' && address !== null ? address.port : 0 })
})
process.on('disconnect', () => process.exit())

/** Answers the request that starts here. Returns where it ends; null: the rest of it has not come yet. */
function takeRequest(socket: Socket, bytes: Buffer, start: number): number | null {
  const endOfHead = bytes.indexOf(END_OF_HEAD, start)
  if (endOfHead === -1) return null
  const head = bytes.toString('latin1', start, endOfHead)
  const bodyStart = endOfHead + END_OF_HEAD.length
  const end = bodyStart + Number(headerOf(head, 'content-length') ?? 0)
  if (end > bytes.length) return null
  const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/1.1\r\n'))
  const body = bytes.subarray(bodyStart, end)
  if (path.startsWith('/control/')) answer(socket, 200, control(path, body.toString()))
  else receive(socket, path, head, body)
  return end
}

function receive(socket: Socket, path: string, head: string, body: Buffer): void {
  const [, kind, figure] = path.split('/', 3)
  if (kind === 'status') {
    counts.refused += 1
    answer(socket, Number(figure), 'no')
    return
  }
  count(path, head, body)
  if (kind === 'slow') setTimeout(answer, Number(figure), socket, 200, 'ok')
  else answer(socket, 200, 'ok')
}

function count(path: string, head: string, body: Buffer): void {
  // A string of its own: a slice would keep the whole head.
  const id = Buffer.from(headerOf(head, 'webhook-id') ?? '').toString('latin1')
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

/** Names as our clients write them: in lower case. */
function headerOf(head: string, name: string): string | null {
  const at = head.indexOf(`\r\n${name}: `)
  if (at === -1) return null
  const from = at + name.length + 4
  const to = head.indexOf('\r\n', from)
  return head.slice(from, to === -1 ? undefined : to)
}

function headersOf(head: string): Record<string, string> {
  const [, ...lines] = head.split('\r\n')
  return Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
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
