import { BlockList, isIP, isIPv4 } from 'node:net'

const MAX_HOPS = 32

/**
 * Whose addresses are taken for proxies of the operator's.
 *
 * @param networks CIDRs or addresses that were checked before
 */
export function makeIsTrusted(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', prefix] = network.split('/')
    const family = isIPv4(address) ? 'ipv4' : 'ipv6'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return (address) => isIP(address) !== 0 && list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
}

/**
 * Where a request comes from: the socket's peer, or, behind trusted proxies, the last hop of `X-Forwarded-For` that none of
 * them vouches for. What stands left of that hop was written by a stranger and means nothing; where a hop is no address, the
 * proxy that passed it on is as much as is known.
 *
 * @param forwardedFor the header's lines, joined in their order
 */
export function clientAddress(
  peer: string,
  forwardedFor: string,
  isTrusted: (address: string) => boolean,
): string {
  let address = plain(peer)
  if (!isTrusted(address) || forwardedFor === '') return address
  const hops = forwardedFor.split(',').slice(-MAX_HOPS)
  for (const hop of hops.reverse()) {
    const next = addressOfHop(hop.trim())
    if (next === null) return address
    address = next
    if (!isTrusted(address)) return address
  }
  return address
}

/** `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`. */
function addressOfHop(hop: string): string | null {
  const match = /^(?:\[([\da-fA-F:.]+)\]|([\d.]+))(?::\d{1,5})?$/.exec(hop)
  const address = match?.[1] ?? match?.[2] ?? hop
  return isIP(address) === 0 || address.includes('%') ? null : plain(address)
}

/** An IPv4 address that came in over an IPv6 socket, as the IPv4 address it is; lower case, without a zone. */
function plain(address: string): string {
  const lower = address.toLowerCase().replace(/%.*$/, '')
  const mapped = /^::ffff:([\d.]+)$/.exec(lower)?.[1]
  return mapped !== undefined && isIPv4(mapped) ? mapped : lower
}
