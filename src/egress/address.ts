import { BlockList, isIPv4, isIPv6 } from 'node:net'

/**
 * What is not a webhook's business, although some of it is routable: everything that IANA's special-purpose registries do
 * not call globally reachable, multicast, transition mechanisms that carry an IPv4 address, and cloud hosts' own addresses
 * in public space. [RFC 6890 and the registries of 2025-10-09]
 */
export const DENIED_IPV4: readonly string[] = [
  '0.0.0.0/8', // this network; 0.0.0.0 reaches the local host on Linux
  '10.0.0.0/8',
  '100.64.0.0/10', // carrier-grade NAT
  '127.0.0.0/8',
  '169.254.0.0/16', // link-local, and the metadata services of most clouds
  '172.16.0.0/12',
  '192.0.0.0/24', // IETF protocol assignments
  '192.0.2.0/24', // TEST-NET-1
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16',
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarking
  '198.51.100.0/24', // TEST-NET-2
  '203.0.113.0/24', // TEST-NET-3
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, broadcast
  '168.63.129.16/32', // Azure's host agent
]

/** Within 2000::/3; everything outside it is denied whole. */
export const DENIED_IPV6: readonly string[] = [
  '2001::/23', // IETF protocol assignments, Teredo among them
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4
  '2620:4f:8000::/48', // AS112
  '3ffe::/16', // 6bone
  '3fff::/20', // documentation
]

const denied = blockList([...DENIED_IPV4, ...DENIED_IPV6])
const globalUnicast = blockList(['2000::/3'])
/** ::ffff:a.b.c.d is that IPv4 address. */
const mapped = blockList(['::ffff:0:0/96'])

/** Whether an address may be called by a URL that a stranger typed. Fails closed: what is no address is not public. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !denied.check(address, 'ipv4')
  if (!isIPv6(address) || address.includes('%')) return false
  // BlockList judges a mapped address by the IPv4 rules itself.
  if (mapped.check(address, 'ipv6')) return !denied.check(address, 'ipv6')
  return globalUnicast.check(address, 'ipv6') && !denied.check(address, 'ipv6')
}

export function blockList(cidrs: readonly string[]): BlockList {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [network = '', prefix = ''] = cidr.split('/')
    list.addSubnet(network, Number(prefix), isIPv4(network) ? 'ipv4' : 'ipv6')
  }
  return list
}
