import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'

/** A request as it came. */
export interface Call {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export function plain(status: number, body: string, headers: Reply['headers'] = {}): Reply {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8', ...headers }, body }
}

export function json(body: object, status = 200, headers: Reply['headers'] = {}): Reply {
  const type = 'application/json; charset=utf-8'
  return { status, headers: { 'content-type': type, ...headers }, body: JSON.stringify(body) }
}

/** The answer that Slack gives to one message too many; seconds, as the header counts. */
export function tooMany(retryAfterS: number, body: Reply): Reply {
  return { ...body, status: 429, headers: { ...body.headers, 'retry-after': String(retryAfterS) } }
}

export type Fields = Readonly<Record<string, unknown>>

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** undefined: this is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

export interface HttpServer extends AsyncDisposable {
  /** Without a slash at its end. */
  readonly url: string
}

/** On a free port of the loopback. Where `handle` gives null, the caller waits until it gives up. */
export async function openServer(
  handle: (call: Call) => Promise<Reply | null>,
): Promise<HttpServer> {
  const answer = async (incoming: IncomingMessage, response: ServerResponse) => {
    const reply = await readCall(incoming)
      .then(handle)
      .catch((error: unknown) => plain(500, `the double failed: ${String(error)}`))
    if (reply !== null) response.writeHead(reply.status, reply.headers).end(reply.body)
  }
  const server = createServer((incoming, response) => void answer(incoming, response))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((done) => server.close(done))
      server.closeAllConnections()
      await closed
    },
  }
}

async function readCall(incoming: IncomingMessage): Promise<Call> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  const url = new URL(incoming.url ?? '/', 'http://127.0.0.1')
  return {
    method: incoming.method ?? '',
    path: url.pathname,
    query: url.searchParams,
    headers: incoming.headers,
    body: Buffer.concat(chunks).toString(),
  }
}
