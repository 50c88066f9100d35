import { type BlockList, isIP, isIPv4 } from 'node:net'
import { blockList } from './address.ts'

/** What an operator lets URLs reach although it is not public. */
export interface AllowList {
  /** The host as it stands in the URL: a name, or an address without brackets. */
  readonly hasHost: (host: string, port: number) => boolean
  readonly hasAddress: (address: string, port: number) => boolean
}

interface HostRule {
  readonly host: string
  readonly port: number | null
}

/**
 * Parses `EGRESS_ALLOW`: CIDRs, addresses, host names, each but a CIDR with an optional `:port`.
 *
 * @throws Error that names the item which is none of these
 */
export function parseAllowList(items: readonly string[]): AllowList {
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
    hasHost: hasRule,
    hasAddress: (address, port) =>
      networks.check(address, isIPv4(address) ? 'ipv4' : 'ipv6') || hasRule(address, port),
  }
}

function assertCidr(item: string): string {
  const [network = '', prefix = '', more] = item.split('/')
  const version = isIP(network)
  const isPrefix = /^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128)
  if (version === 0 || !isPrefix || more !== undefined) throw new Error(`"${item}" is not a CIDR`)
  return item
}

function parseHost(item: string): HostRule {
  if (isIP(item) !== 0) return { host: item.toLowerCase(), port: null }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/.exec(item)
  const host = (match?.[1] ?? match?.[2] ?? '').toLowerCase()
  const port = match?.[3] === undefined ? null : Number(match[3])
  if (host === '' || (port !== null && port > 65_535)) {
    throw new Error(`"${item}" is not a CIDR, a host or host:port`)
  }
  return { host, port }
}
