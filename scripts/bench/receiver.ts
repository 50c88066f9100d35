import { createServer } from 'node:http'
import { verifyWebhook } from '../../src/index.ts'

/**
 * The receiver of the bench, a process of its own: answers 200, counts deliveries and copies, verifies one in a hundred.
 * `/control/reset?secret=…` starts a count, `/control/counts` reports it. Its port goes to the parent.
 */
const seen = new Map<string, number>()
const secrets = new Map<string, string>()
let received = 0
let unverified = 0

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const url = request.url ?? ''
    if (url.startsWith('/control/')) {
      response.end(control(url, Buffer.concat(chunks).toString()))
      return
    }
    received += 1
    const key = `${request.headers['webhook-id']}${url}`
    seen.set(key, (seen.get(key) ?? 0) + 1)
    if (received % 100 === 0 && !isVerified(url, request.headers, chunks)) unverified += 1
    response.end('ok')
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' && address !== null ? address.port : 0 })
})
process.on('disconnect', () => process.exit())

function control(url: string, body: string): string {
  if (url === '/control/reset') {
    seen.clear()
    secrets.clear()
    received = 0
    unverified = 0
    for (const [path, secret] of Object.entries<string>(JSON.parse(body))) secrets.set(path, secret)
    return 'ok'
  }
  return JSON.stringify({ received, distinct: seen.size, unverified })
}

function isVerified(
  path: string,
  headers: Record<string, string | string[] | undefined>,
  chunks: Buffer[],
): boolean {
  try {
    verifyWebhook(secrets.get(path) ?? '', headers, Buffer.concat(chunks))
    return true
  } catch {
    return false
  }
}
