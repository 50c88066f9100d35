import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { verifyWebhook } from '../../../src/index.ts'
import { openLedger } from '../ledger.ts'

/**
 * The receiver, a process of its own: `node receiver.ts LEDGER`. Each request is on the disk before it is answered.
 *
 *   /ok/NAME         200 at once
 *   /slow/MS/NAME    200 after MS
 *   /status/N/NAME   that status; `?retry-after=` is sent as the header
 *
 * Its port goes to the parent, which may send the secrets of paths, and a process to kill right after a 200 went out.
 */
export interface Received {
  readonly id: string
  readonly path: string
  readonly sha256: string
  readonly attempt: number
  /** Unix ms. */
  readonly at: number
  /** How far the sender's clock was ahead of ours. */
  readonly skewS: number
  readonly signature: 'good' | 'bad' | 'unchecked'
}

export type ReceiverOrder =
  | { readonly kind: 'trust'; readonly path: string; readonly secret: string }
  | { readonly kind: 'kill'; readonly pid: number }

export type ReceiverNews =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'killed'; readonly pid: number; readonly id: string }

const VERIFY_EACH = 20
/** Clocks that jump are one of the faults. */
const TOLERANCE_S = 86_400

const ledger = await openLedger<Received>(process.argv[2] ?? '')
const secrets = new Map<string, string>()
const receivedBy = new Map<string, number>()
let victim: number | null = null

process.on('message', (order: ReceiverOrder) => {
  if (order.kind === 'trust') secrets.set(order.path, order.secret)
  else victim = order.pid
})
process.on('disconnect', () => process.exit())

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    take(request, Buffer.concat(chunks), response).catch((error: unknown) => {
      console.error(error)
      response.destroy()
    })
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  tell({
    kind: 'listening',
    port: typeof address === 'object' && address !== null ? address.port : 0,
  })
})

async function take(request: IncomingMessage, body: Buffer, response: ServerResponse) {
  const url = new URL(request.url ?? '', 'http://receiver')
  const [, behaviour, argument] = url.pathname.split('/')
  const id = String(request.headers['webhook-id'])
  const nth = receivedBy.get(url.pathname) ?? 0
  receivedBy.set(url.pathname, nth + 1)
  await ledger.append({
    id,
    path: url.pathname,
    sha256: createHash('sha256').update(body).digest('base64'),
    attempt: Number(request.headers['x-ai-chat-attempt']),
    at: Date.now(),
    skewS: Number(request.headers['webhook-timestamp']) - Date.now() / 1000,
    signature: nth % VERIFY_EACH === 0 ? check(url.pathname, request, body) : 'unchecked',
  })
  if (behaviour === 'slow') setTimeout(() => answer(response, id), Number(argument))
  else if (behaviour === 'status') refuse(response, Number(argument), url.searchParams)
  else answer(response, id)
}

function answer(response: ServerResponse, id: string): void {
  response.end('ok', () => {
    if (victim === null) return
    const pid = victim
    victim = null
    process.kill(pid, 'SIGKILL')
    tell({ kind: 'killed', pid, id })
  })
}

function refuse(response: ServerResponse, statusCode: number, query: URLSearchParams): void {
  const retryAfter = query.get('retry-after')
  response.writeHead(statusCode, retryAfter === null ? {} : { 'retry-after': retryAfter })
  response.end('no')
}

function check(path: string, request: IncomingMessage, body: Buffer): Received['signature'] {
  try {
    verifyWebhook(secrets.get(path) ?? '', request.headers, body, { toleranceS: TOLERANCE_S })
    return 'good'
  } catch {
    return 'bad'
  }
}

function tell(news: ReceiverNews): void {
  process.send?.(news)
}
