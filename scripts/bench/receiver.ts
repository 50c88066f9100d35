import { createServer, type IncomingHttpHeaders } from 'node:http'
import { verifyWebhook } from '../../src/index.ts'

/**
 * The receiver of the bench, a process of its own: answers 200, counts webhooks and copies of them, verifies one in a
 * hundred. `POST /control/secrets` takes the secrets by path, `POST /control/reset` starts a count, `GET /control/counts`
 * reports it. Its port goes to the parent.
 */
export interface Counts {
  readonly received: number
  /** Copies of a webhook that was received before. */
  readonly twice: number
  readonly verified: number
  readonly forged: number
}

const VERIFY_EACH = 100

const seen = new Set<string>()
let secrets: Readonly<Record<string, string>> = {}
let counts = { received: 0, twice: 0, verified: 0, forged: 0 }

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const path = request.url ?? ''
    if (path.startsWith('/control/')) {
      response.end(control(path, Buffer.concat(chunks).toString()))
      return
    }
    count(path, request.headers, chunks)
    response.end('ok')
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' && address !== null ? address.port : 0 })
})
process.on('disconnect', () => process.exit())

function count(path: string, headers: IncomingHttpHeaders, chunks: readonly Buffer[]): void {
  const key = `${headers['webhook-id']} ${path}`
  counts.received += 1
  if (seen.has(key)) counts.twice += 1
  else seen.add(key)
  if (counts.received % VERIFY_EACH !== 0) return
  try {
    verifyWebhook(secrets[path] ?? '', headers, Buffer.concat(chunks))
    counts.verified += 1
  } catch {
    counts.forged += 1
  }
}

function control(path: string, body: string): string {
  switch (path) {
    case '/control/secrets':
      secrets = JSON.parse(body)
      return 'ok'
    case '/control/reset':
      seen.clear()
      counts = { received: 0, twice: 0, verified: 0, forged: 0 }
      return 'ok'
    default:
      return JSON.stringify(counts)
  }
}
