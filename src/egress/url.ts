import { isIP } from 'node:net'
import { isPublicAddress } from './address.ts'
import type { AllowList } from './allow-list.ts'

const MAX_URL_LENGTH = 2048

/** Ports of the WHATWG fetch block list at or above 1024; below, only 80 and 443 are for HTTP. */
const BAD_PORTS = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
  6679, 6697, 10080,
])

const INTERNAL_NAMES = new Set(['metadata.goog', 'metadata.tencentyun.com', 'metadata.packet.net'])
const INTERNAL_SUFFIXES = [
  '.localhost',
  '.local',
  '.internal',
  '.intranet',
  '.corp',
  '.home',
  '.lan',
  '.private',
  '.home.arpa',
  '.cluster.local',
  '.svc',
  '.test',
  '.invalid',
  '.example',
  '.onion',
  '.in-addr.arpa',
  '.ip6.arpa',
  '.localdomain',
]

export interface UrlPolicy {
  readonly isHttpAllowed: boolean
  readonly allow: AllowList
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
  if (input.length > MAX_URL_LENGTH) return refuse(`must have at most ${MAX_URL_LENGTH} characters`)
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
  if (url.hash !== '') return refuse('must not have a fragment')
  const target = toTarget(url)
  const isListed = policy.allow.hasHost(target.host, target.port)
  if (url.protocol === 'http:' && !policy.isHttpAllowed) {
    return refuse('must be https; plain http is not allowed here')
  }
  if (!isListed && !isWebPort(target.port)) return refuse(`port ${target.port} is not for HTTP`)
  const problem = isListed ? null : hostProblem(target, policy.allow)
  return problem === null ? { isAllowed: true, target } : refuse(problem)
}

function toTarget(url: URL): Target {
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
  return { href: url.href, origin: url.origin, path: url.pathname + url.search, host, port }
}

function isWebPort(port: number): boolean {
  return port === 80 || port === 443 || (port >= 1024 && !BAD_PORTS.has(port))
}

function hostProblem(target: Target, allow: AllowList): string | null {
  const { host, port } = target
  if (isIP(host) !== 0) {
    const isFine = isPublicAddress(host) || allow.hasAddress(host, port)
    return isFine ? null : 'points to an address that is not public'
  }
  if (host === '' || host.includes('..')) return 'has no host'
  if (!host.includes('.')) return 'must have a full host name, not a single label'
  const isInternal =
    INTERNAL_NAMES.has(host) || INTERNAL_SUFFIXES.some((suffix) => host.endsWith(suffix))
  return isInternal ? 'points to a name that is not public' : null
}
