import { type BlockList, isIP, isIPv4 } from 'node:net'
import { blockList } from './address.ts'

/** Hosts and addresses that an operator listed. */
export interface HostList {
  /** The host as it stands in the URL: a name, or an address without brackets. */
  readonly hasHost: (host: string, port: number) => boolean
  /** False for what is no address. */
  readonly hasAddress: (address: string, port: number) => boolean
}

interface HostRule {
  readonly host: string
  readonly port: number | null
}

/**
 * Parses `EGRESS_ALLOW` and its kind: CIDRs, addresses, host names, each but a CIDR with an optional `:port`.
 *
 * @throws Error that names the item which is none of these
 */
export function parseAllowList(items: readonly string[]): HostList {
  const cidrs: string[] = []
  const rules: HostRule[] = []
  for (const item of items) {
    if (item.includes('/')) cidrs.push(assertCidr(item))
    else rules.push(parseHost(item))
  }
  const networks: BlockList = blockList(cidrs)
  const hasRule = (host: string, port: number) =>
    rules.some((rule) => rule.host === host && (rule.port === null || rule.port === port))
  return {
    hasHost: (host, port) => hasRule(isIP(host) === 0 ? host : plainAddress(host), port),
    hasAddress: (address, port) =>
      isIP(address) !== 0 &&
      !address.includes('%') &&
      (networks.check(address, isIPv4(address) ? 'ipv4' : 'ipv6') ||
        hasRule(plainAddress(address), port)),
  }
}

/** What either of two lists has. */
export function eitherList(a: HostList, b: HostList): HostList {
  return {
    hasHost: (host, port) => a.hasHost(host, port) || b.hasHost(host, port),
    hasAddress: (address, port) => a.hasAddress(address, port) || b.hasAddress(address, port),
  }
}

function assertCidr(item: string): string {
  const [network = '', prefix = '', more] = item.split('/')
  const version = isIP(network)
  const isPrefix = /^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128)
  if (version === 0 || network.includes('%') || !isPrefix || more !== undefined) {
    throw new Error(`"${item}" is not a CIDR`)
  }
  return item
}

function parseHost(item: string): HostRule {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/.exec(item)
  const isBare = isIP(item) !== 0
  const host = isBare ? asInUrl(item) : asInUrl(match?.[1] ?? match?.[2] ?? '')
  const port = isBare || match?.[3] === undefined ? null : Number(match[3])
  if (host === '' || port === 0 || (port !== null && port > 65_535)) {
    throw new Error(`"${item}" is not a CIDR, a host or host:port`)
  }
  return { host: isIP(host) === 0 ? host : plainAddress(host), port }
}

/** An address or a name as parsed URLs spell it; '' for what is neither, or is an address in disguise. */
function asInUrl(host: string): string {
  const plain = host.toLowerCase().replace(/\.$/, '')
  const url = `http://${plain.includes(':') ? `[${plain}]` : plain}/`
  if (!URL.canParse(url)) return ''
  const parsed = new URL(url).hostname.replace(/^\[|\]$/g, '')
  return isIP(plain) !== 0 || parsed === plain ? parsed : ''
}

/** One spelling for one address: an IPv4 address that stands in an IPv6 one is that IPv4 address. */
function plainAddress(address: string): string {
  if (isIPv4(address)) return address
  const canonical = asInUrl(address)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical)
  if (mapped === null) return canonical
  const [high, low] = [mapped[1], mapped[2]].map((part) => Number.parseInt(part ?? '0', 16))
  return [(high ?? 0) >> 8, (high ?? 0) & 255, (low ?? 0) >> 8, (low ?? 0) & 255].join('.')
}
