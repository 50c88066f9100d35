import { type IncomingHttpHeaders, request } from 'node:http'
import { isIPv6, type Socket } from 'node:net'
import { buildConnector } from 'undici'
import type { Secret } from '../core/secret.ts'
import type { Dial } from './connect.ts'

/** The operator's own proxy does not work for us: not the endpoint's failure. The message never has its URL. */
export class ProxyTroubleError extends Error {
  override readonly name = 'ProxyTroubleError'
}

/** The proxy works, and does not get to the endpoint, or may not. */
export class TunnelError extends Error {
  override readonly name = 'TunnelError'
}

/**
 * What a proxy says when it did not come through to one endpoint, or has a rule against it; whatever else it answers is
 * about itself or about us. [RFC 9110 §15.6; 503 is what Squid, HAProxy and Envoy say of an endpoint that is down]
 */
const ABOUT_THE_ENDPOINT: Readonly<Record<number, string>> = {
  403: "the operator's proxy does not allow this host",
  502: "the operator's proxy could not reach the host",
  503: "the operator's proxy could not reach the host",
  504: "the operator's proxy could not reach the host in time",
}

/**
 * Dials through an operator's forward proxy: a CONNECT tunnel for http and https alike, so the proxy sees addresses and never
 * a path, a header or a body. The tunnel goes to the address it is given, and TLS inside it is with the endpoint.
 *
 * @param proxy an http or https URL, with user and password where the proxy wants them
 * @param timeoutMs for all of it: the proxy, the tunnel, TLS inside
 */
export function makeProxyDial(proxy: Secret, timeoutMs: number): Dial {
  const url = new URL(proxy.reveal())
  const authorization = basicAuth(url)
  const to = {
    protocol: url.protocol,
    hostname: bare(url.hostname),
    host: url.host,
    port: url.port,
  }
  const dialProxy = buildConnector({ timeout: timeoutMs / 2, allowH2: false, keepAlive: true })
  const dialInside = buildConnector({ timeout: timeoutMs, allowH2: false, keepAlive: true })
  return (options, callback) => {
    const startedAt = performance.now()
    dialProxy(to, (error, socket) => {
      if (error !== null) {
        callback(troubleOf('cannot be reached', error), null)
        return
      }
      // From here on it is most likely the proxy that waits, for an endpoint that swallows what it is sent.
      const late = new TunnelError(
        "no connection through the operator's proxy within the time limit",
      )
      const leftMs = Math.max(0, timeoutMs - (performance.now() - startedAt))
      const timer = setTimeout(() => socket.destroy(late), leftMs)
      const fail = (problem: Error) => {
        clearTimeout(timer)
        callback(socket.errored === late ? late : problem, null)
        socket.destroy()
      }
      const finish = (ready: Socket) => {
        clearTimeout(timer)
        callback(null, ready)
      }
      openTunnel(socket, authorityOf(options), authorization).then((tunnel) => {
        if (options.protocol !== 'https:') return finish(tunnel)
        dialInside({ ...options, httpSocket: tunnel }, (problem, secured) =>
          problem === null ? finish(secured) : fail(problem),
        )
      }, fail)
    })
  }
}

/** Asks for the tunnel. Rejects with ProxyTroubleError or TunnelError. */
function openTunnel(
  socket: Socket,
  authority: string,
  authorization: string | null,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const headers = {
      host: authority,
      ...(authorization === null ? {} : { 'proxy-authorization': authorization }),
    }
    const asked = request({
      method: 'CONNECT',
      path: authority,
      headers,
      createConnection: () => socket,
    })
    asked.once('connect', ({ statusCode = 0, headers: answered }, _, head: Buffer) => {
      const reason = ABOUT_THE_ENDPOINT[isRule(statusCode, answered) ? 403 : statusCode]
      if (statusCode >= 200 && statusCode < 300) {
        if (head.length > 0) socket.unshift(head)
        resolve(socket)
      } else if (reason !== undefined) reject(new TunnelError(reason))
      else reject(new ProxyTroubleError(`the operator's proxy answers ${statusCode}`))
    })
    asked.on('error', (error) => reject(troubleOf('closed the connection', error)))
    asked.end()
  })
}

function troubleOf(what: string, error: Error): ProxyTroubleError {
  const code = 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : ''
  return new ProxyTroubleError(`the operator's proxy ${what}${code}`)
}

/** A 407 that asks for nothing is how Smokescreen says that its rules are against a host. [RFC 9110 §15.5.8] */
function isRule(statusCode: number, headers: IncomingHttpHeaders): boolean {
  return statusCode === 407 && headers['proxy-authenticate'] === undefined
}

function authorityOf({ hostname, port }: buildConnector.Options): string {
  return `${isIPv6(hostname) ? `[${hostname}]` : hostname}:${port}`
}

function basicAuth({ username, password }: URL): string | null {
  if (username === '' && password === '') return null
  const plain = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return `Basic ${Buffer.from(plain).toString('base64')}`
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '')
}
