import { BlockList } from 'node:net'
import type { networkInterfaces } from 'node:os'

export type IsOwnAddress = (address: string) => boolean

interface OwnAddressesDeps {
  readonly interfaces: typeof networkInterfaces
  /** Monotonic. */
  readonly nowMs: () => number
  /** How long one look at the interfaces holds. */
  readonly keepMs?: number
}

/**
 * Whether an address is bound to one of this machine's own interfaces. A public address of the machine itself would be
 * reached over its loopback, behind the firewall that keeps others out. Addresses that a router in front translates are not
 * seen here: an operator lists them in `EGRESS_DENY`.
 */
export function makeIsOwnAddress({
  interfaces,
  nowMs,
  keepMs = 5000,
}: OwnAddressesDeps): IsOwnAddress {
  let own = new BlockList()
  let readAt = Number.NEGATIVE_INFINITY
  return (address) => {
    const now = nowMs()
    if (now - readAt >= keepMs) {
      own = new BlockList()
      for (const bound of Object.values(interfaces()).flat()) {
        // A zone names the interface, not the address.
        const [plain = ''] = bound?.address.split('%') ?? []
        if (plain !== '') own.addAddress(plain, plain.includes(':') ? 'ipv6' : 'ipv4')
      }
      readAt = now
    }
    // A BlockList judges a mapped address by the IPv4 in it.
    return own.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
  }
}
