import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { verifyWebhook } from '../../src/index.ts'
import { isSameText } from '../../src/security/signature.ts'

/** A webhook as the receiver saw it. */
export interface Arrival {
  readonly path: string
  readonly type: string
  readonly attempt: number
  readonly isVerified: boolean
  readonly status: number
}

const FLAKY_FAILURES = 2

/**
 * The other side: a server that verifies what it gets (with the library's `verifyWebhook`, and the plain signature by its own
 * HMAC), has an endpoint that fails twice, and two that back tools.
 */
export async function openReceiver() {
  const secrets = new Map<string, string>()
  const arrivals: Arrival[] = []
  let failuresLeft = FLAKY_FAILURES
  let onArrival: (arrival: Arrival) => void = () => undefined

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request)
    const path = request.url ?? ''
    if (path === '/weather') {
      response.setHeader('content-type', 'application/json')
      const { args } = JSON.parse(body)
      response.end(JSON.stringify({ city: args.city, sky: 'clear', celsius: 21 }))
      return
    }
    if (path === '/door') {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ door: JSON.parse(body).args.door, isOpen: true }))
      return
    }
    const isFailing = path === '/flaky' && failuresLeft > 0
    if (isFailing) failuresLeft -= 1
    response.statusCode = isFailing ? 503 : 200
    response.end(isFailing ? 'too busy' : 'ok')
    const arrival: Arrival = {
      path,
      type: String(request.headers['x-ai-chat-event']),
      attempt: Number(request.headers['x-ai-chat-attempt']),
      isVerified: isVerified(secrets.get(path) ?? '', request, body),
      status: response.statusCode,
    }
    arrivals.push(arrival)
    onArrival(arrival)
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error: Error) => response.destroy(error))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0

  return {
    url: `http://127.0.0.1:${port}`,
    trust: (path: string, secret: string) => void secrets.set(path, secret),
    /** Shows arrivals as they come, until there were `count`. */
    until: (count: number, timeoutMs: number, show: (arrival: Arrival) => void): Promise<void> =>
      new Promise((done, fail) => {
        const timer = setTimeout(
          () => fail(new Error(`only ${arrivals.length} of ${count} webhooks arrived`)),
          timeoutMs,
        )
        const check = () => {
          if (arrivals.length < count) return
          clearTimeout(timer)
          onArrival = () => undefined
          done()
        }
        for (const arrival of arrivals) show(arrival)
        onArrival = (arrival) => {
          show(arrival)
          check()
        }
        check()
      }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

function isVerified(secret: string, request: IncomingMessage, body: string): boolean {
  const plain = createHmac('sha256', secret).update(body).digest('hex')
  try {
    verifyWebhook(secret, request.headers, body)
    return isSameText(String(request.headers['x-ai-chat-signature']), plain)
  } catch {
    return false
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
