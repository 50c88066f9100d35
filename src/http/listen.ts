import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'

type Fetch = (request: Request) => Response | Promise<Response>

export interface Listener extends AsyncDisposable {
  readonly url: string
  /** What answers from now on. */
  readonly use: (next: Fetch) => void
}

/** The port cannot be had. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
}

const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 60_000
const CLOSE_GRACE_MS = 5000

/**
 * Listens at once, with an app that can be replaced: the port is known, and `/healthz` answers, while the database is still
 * being waited for.
 *
 * @throws ListenError when the port is taken or not ours to take
 */
export async function listen(host: string, port: number, first: Fetch): Promise<Listener> {
  let current = first
  const server = createAdaptorServer({
    fetch: (request: Request) => current(request),
    serverOptions: { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
  }) as Server
  const actualPort = await new Promise<number>((done, fail) => {
    server.once('error', (error) => {
      const code = 'code' in error ? error.code : ''
      const why =
        code === 'EADDRINUSE'
          ? 'is taken by another process: stop it, or set PORT to another one (0: any free port)'
          : `cannot be opened: ${error.message}`
      fail(new ListenError(`PORT: ${host}:${port} ${why}`, { cause: error }))
    })
    server.listen(port, host, () => {
      const address = server.address()
      done(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`,
    use: (next) => {
      current = next
    },
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((done) => server.close(done))
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
      await closed
      clearTimeout(timer)
    },
  }
}
