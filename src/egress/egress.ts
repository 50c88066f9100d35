import { networkInterfaces } from 'node:os'
import { Agent, buildConnector } from 'undici'
import type { Secret } from '../core/secret.ts'
import { type HostList, parseAllowList } from './allow-list.ts'
import {
  BlockedError,
  type Dial,
  DnsError,
  makeGuardedConnector,
  makeResolve,
  type Resolve,
} from './connect.ts'
import { type EgressRequest, type EgressResult, exchange } from './exchange.ts'
import { makeOperatorFetch, type OperatorFetch } from './operator-fetch.ts'
import { type IsOwnAddress, makeIsOwnAddress } from './own-addresses.ts'
import { makeProxyDial, ProxyTroubleError, TunnelError } from './proxy.ts'
import { makeReach, type Network } from './reach.ts'
import { judgeUrl, type Target, type UrlVerdict } from './url.ts'

/** On whose behalf a URL is called. */
export interface Caller {
  readonly orgId: string
  readonly network: Network
  /** The org's own list of hosts, which narrows what it may call; null: it has none. */
  readonly domains: readonly string[] | null
}

/** The only way out of the process for everything that an org configured. */
export interface Egress extends AsyncDisposable {
  /** Whether a URL can be called at all; its target is what `send` takes. */
  readonly judge: (url: string, caller: Caller) => UrlVerdict
  /** One request, one answer: never throws for what the other side did. */
  readonly send: (target: Target, network: Network, request: EgressRequest) => Promise<EgressResult>
  /** `fetch` for URLs that the operator configured (identity provider, model API): no address rule, no proxy. */
  readonly operatorFetch: OperatorFetch
}

export interface EgressOptions {
  readonly isHttpAllowed: boolean
  readonly allow: HostList
  readonly allowInternal: HostList
  readonly deny?: HostList
  /** The orgs that may call services of the operator's network; undefined: every org. */
  readonly internalOrgs?: readonly string[] | undefined
  /** The operator's forward proxy. */
  readonly proxy?: Secret | undefined
  /** Sockets per origin at most; more requests wait their turn within their own deadline. */
  readonly connectionsPerOrigin?: number
  readonly connectTimeoutMs?: number
  readonly resolveTimeoutMs?: number
  readonly resolve?: Resolve
  readonly isOwnAddress?: IsOwnAddress
  /** Opens the socket to the address that was vetted. */
  readonly dial?: Dial
}

/** Opens the pools of sockets, one set for each network, so that a socket is never shared across policies. */
export function openEgress(options: EgressOptions): Egress {
  const { isHttpAllowed, internalOrgs, proxy } = options
  const resolve = options.resolve ?? makeResolve(options.resolveTimeoutMs)
  const timeout = options.connectTimeoutMs ?? 5000
  const nowMs = () => performance.now()
  const isOwnAddress =
    options.isOwnAddress ?? makeIsOwnAddress({ interfaces: networkInterfaces, nowMs })
  const deny = options.deny ?? parseAllowList([])
  const reach = makeReach({
    allow: options.allow,
    allowInternal: options.allowInternal,
    deny,
    isOwnAddress,
  })
  const dial =
    options.dial ??
    (proxy === undefined
      ? buildConnector({ timeout, keepAlive: true, allowH2: false })
      : makeProxyDial(proxy, timeout))
  const isDirect = options.dial === undefined && proxy === undefined
  const agentFor = (network: Network) =>
    new Agent({
      connections: options.connectionsPerOrigin ?? 128,
      pipelining: 1,
      // The whole attempt has one deadline of its own, which no trickle of bytes can push back.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: 16_384,
      connect: makeGuardedConnector({ reach: reach[network], resolve, dial, isDirect }),
    })
  const agents = { public: agentFor('public'), internal: agentFor('internal') }
  const operatorAgent = new Agent({ connect: buildConnector({ timeout }) })

  return {
    judge: (url, { orgId, network, domains }) =>
      network === 'internal' && internalOrgs?.includes(orgId) === false
        ? { isAllowed: false, reason: NO_INTERNAL }
        : judgeUrl(url, { isHttpAllowed, reach: reach[network], domains }),
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

const NO_INTERNAL =
  "is of the operator's network, which this org may not call (any more); ask the operator"

function describe(error: Error): EgressResult {
  if (error instanceof BlockedError) return { kind: 'blocked', reason: error.message }
  if (error instanceof TunnelError) return { kind: 'failed', reason: error.message }
  if (error instanceof ProxyTroubleError) {
    return { kind: 'interrupted', reason: error.message, waitMs: OUR_TROUBLE_MS }
  }
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
