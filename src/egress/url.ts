import { isIP } from 'node:net'
import { hasDomain } from '../core/domains.ts'
import { publicNameProblem } from './host-name.ts'
import type { Reach } from './reach.ts'

const MAX_URL_LENGTH = 2048

/** Ports of the WHATWG fetch block list at or above 1024; below, only 80 and 443 are for HTTP. */
export const BAD_PORTS: ReadonlySet<number> = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
  6679, 6697, 10080,
])

export interface UrlPolicy {
  readonly isHttpAllowed: boolean
  readonly reach: Reach
  /** The org's own list of hosts; null: it has none. It narrows what is reached, and widens nothing. */
  readonly domains: readonly string[] | null
}

/** Where a request goes: parsed and judged once, so that no second parser can disagree. */
export interface Target {
  readonly href: string
  readonly origin: string
  readonly path: string
  /** Without brackets. */
  readonly host: string
  readonly port: number
}

export type UrlVerdict =
  | { readonly isAllowed: true; readonly target: Target }
  | { readonly isAllowed: false; readonly reason: string }

/**
 * Says at once whether a URL can never be called, and why. The judge of names is a courtesy; what holds is the check of
 * every resolved address while connecting.
 */
export function judgeUrl(input: string, policy: UrlPolicy): UrlVerdict {
  const refuse = (reason: string): UrlVerdict => ({ isAllowed: false, reason })
  if (input.length > MAX_URL_LENGTH) return refuse(TOO_LONG)
  // Whatever a lenient parser would repair, drop or read differently from the next one is refused before parsing.
  if (!/^[\x21-\x7e]+$/.test(input) || input.includes('\\')) {
    return refuse('must be plain ASCII without spaces, control characters or backslashes')
  }
  const authority = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/([^/?#]+)/.exec(input)?.[1]
  if (authority === undefined || !URL.canParse(input)) return refuse('is not a URL')
  if (authority.includes('@')) return refuse('must not carry a user name or password')
  if (authority.includes('%')) return refuse('must not have % in its host')
  const url = new URL(input)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return refuse('must be an https URL')
  if (input.includes('#')) return refuse('must not have a fragment')
  // What is kept is what was parsed, and it is judged again when it is called.
  if (url.href.length > MAX_URL_LENGTH) return refuse(TOO_LONG)
  if (url.protocol === 'http:' && !policy.isHttpAllowed) {
    return refuse('must be https; plain http is not allowed here')
  }
  const target = toTarget(url)
  const problem = targetProblem(target, policy)
  return problem === null ? { isAllowed: true, target } : refuse(problem)
}

const TOO_LONG = `must have at most ${MAX_URL_LENGTH} characters`

function toTarget(url: URL): Target {
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
  return { href: url.href, origin: url.origin, path: url.pathname + url.search, host, port }
}

function targetProblem({ host, port }: Target, { reach, domains }: UrlPolicy): string | null {
  if (reach.isDeniedHost(host, port)) return DENIED
  const isListed = reach.isListed(host, port)
  if (port === 0 || !(isListed || isWebPort(port))) return `port ${port} is not for HTTP`
  const problem = isListed ? null : hostProblem(host, port, reach)
  if (problem !== null) return problem
  return domains === null || hasDomain(domains, host) ? null : NOT_ON_ORG_LIST
}

const DENIED = 'has a host that the operator does not allow'
const NOT_ON_ORG_LIST = "has a host that the org's allow-list does not name"

function isWebPort(port: number): boolean {
  return port === 80 || port === 443 || (port >= 1024 && !BAD_PORTS.has(port))
}

function hostProblem(host: string, port: number, reach: Reach): string | null {
  if (isIP(host) !== 0) return reach.isReachable(host, port) ? null : NOT_REACHABLE[reach.network]
  return publicNameProblem(host)
}

/** Why an address is refused, for the org: it never says which one. */
export const NOT_REACHABLE = {
  public: 'points to an address that is not public',
  internal: 'points to an address that the operator does not list',
}
