import { Agent, buildConnector } from 'undici'
import type { AllowList } from './allow-list.ts'
import {
  BlockedError,
  DnsError,
  makeGuardedConnector,
  makeResolve,
  type Resolve,
} from './connect.ts'
import { type EgressRequest, type EgressResult, exchange } from './exchange.ts'
import { makeOperatorFetch } from './operator-fetch.ts'
import { judgeUrl, type Target, type UrlVerdict } from './url.ts'

/** Which addresses a request may reach: `internal` is for `internal-http` integrations only. */
export type Network = 'public' | 'internal'

/** The only way out of the process for everything that an org configured. */
export interface Egress extends AsyncDisposable {
  /** Whether a URL can be called at all; its target is what `send` takes. */
  readonly judge: (url: string, network: Network) => UrlVerdict
  /** One request, one answer: never throws for what the other side did. */
  readonly send: (target: Target, network: Network, request: EgressRequest) => Promise<EgressResult>
  /** `fetch` for URLs that the operator configured (identity provider, model API): no address rule. */
  readonly operatorFetch: typeof fetch
}

export interface EgressOptions {
  readonly isHttpAllowed: boolean
  readonly allow: AllowList
  readonly allowInternal: AllowList
  /** Sockets per origin at most; more requests wait their turn within their own deadline. */
  readonly connectionsPerOrigin?: number
  readonly connectTimeoutMs?: number
  readonly resolveTimeoutMs?: number
  readonly resolve?: Resolve
}

/** Opens the pools of sockets, one set for each network, so that a socket is never shared across policies. */
export function openEgress(options: EgressOptions): Egress {
  const resolve = options.resolve ?? makeResolve(options.resolveTimeoutMs)
  const connectTimeoutMs = options.connectTimeoutMs ?? 5000
  const both: AllowList = {
    hasHost: (host, port) =>
      options.allow.hasHost(host, port) || options.allowInternal.hasHost(host, port),
    hasAddress: (address, port) =>
      options.allow.hasAddress(address, port) || options.allowInternal.hasAddress(address, port),
  }
  const allowOf = { public: options.allow, internal: both }
  const poolOptions = {
    connections: options.connectionsPerOrigin ?? 128,
    pipelining: 1,
    // The whole attempt has one deadline of its own, which no trickle of bytes can push back.
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: 16_384,
  }
  const agentFor = (allow: AllowList) =>
    new Agent({
      ...poolOptions,
      connect: makeGuardedConnector({ allow, resolve, connectTimeoutMs }),
    })
  const agents = { public: agentFor(options.allow), internal: agentFor(both) }
  const operatorAgent = new Agent({ connect: buildConnector({ timeout: connectTimeoutMs }) })

  return {
    judge: (url, network) =>
      judgeUrl(url, { isHttpAllowed: options.isHttpAllowed, allow: allowOf[network] }),
    send: (target, network, request) => exchange(agents[network], target, request, describe),
    operatorFetch: makeOperatorFetch(operatorAgent),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([
        agents.public.destroy(),
        agents.internal.destroy(),
        operatorAgent.destroy(),
      ])
    },
  }
}

function describe(error: Error): EgressResult {
  if (error instanceof BlockedError) return { kind: 'blocked', reason: error.message }
  const code = codeOf(error instanceof DnsError ? error.cause : error)
  // Where IPv6 is off, every IPv6 address is "not available": the endpoint's, not a port that we have run out of.
  const isTheirs = code === 'EADDRNOTAVAIL' && 'address' in error && /:/.test(String(error.address))
  if (OUR_TROUBLE.has(code) && !isTheirs) {
    const reason = `this process could not open a socket (${code})`
    return { kind: 'interrupted', reason, waitMs: OUR_TROUBLE_MS }
  }
  if (error instanceof DnsError) return { kind: 'failed', reason: error.message }
  return { kind: 'failed', reason: REASONS[code] ?? reasonOf(error, code) }
}

/** No descriptor, port or memory left on our side: not the endpoint's failure. */
const OUR_TROUBLE_MS = 10_000
const OUR_TROUBLE = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL'])

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused: nothing listens there',
  EADDRNOTAVAIL: 'network unreachable',
  ECONNRESET: 'connection reset before an answer',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  EPIPE: 'connection closed before an answer',
  ENOTFOUND: 'the host could not be resolved',
  UND_ERR_CONNECT_TIMEOUT: 'no connection within the time limit',
  UND_ERR_SOCKET: 'connection closed before an answer',
  UND_ERR_HEADERS_OVERFLOW: 'response headers are too large',
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : ''
}

function reasonOf(error: Error, code: string): string {
  if (error.name === 'HTTPParserError') return 'the answer is not HTTP'
  if (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code)) return `TLS failed: ${code}`
  return code === '' ? `the request failed: ${error.name}` : `the request failed: ${code}`
}
