import { isIP } from 'node:net'
import { isPublicAddress } from './address.ts'
import { eitherList, type HostList } from './allow-list.ts'
import type { IsOwnAddress } from './own-addresses.ts'

/** Which addresses a request may reach: `internal` is for `internal-http` integrations only. */
export type Network = 'public' | 'internal'

/** What the requests of one network may reach. */
export interface Reach {
  readonly network: Network
  /** The operator named this very host and port, by whatever address it has. */
  readonly isListed: (host: string, port: number) => boolean
  readonly isReachable: (address: string, port: number) => boolean
  /** Never, whatever else is listed. */
  readonly isDenied: (address: string, port: number) => boolean
  /** The same for the host of a URL, a name or an address. */
  readonly isDeniedHost: (host: string, port: number) => boolean
}

interface ReachDeps {
  readonly allow: HostList
  readonly allowInternal: HostList
  readonly deny: HostList
  readonly isOwnAddress: IsOwnAddress
}

/**
 * The rule of addresses, in one place: public URLs reach what is public and not this machine itself, and what `EGRESS_ALLOW`
 * lists; internal services are what the operator lists, and nothing else. `EGRESS_DENY` is above all of it.
 */
export function makeReach(deps: ReachDeps): Readonly<Record<Network, Reach>> {
  const isDenied = (address: string, port: number) =>
    isIP(address) === 0 || deps.deny.hasHost(address, port) || deps.deny.hasAddress(address, port)
  const reach = (network: Network, list: HostList): Reach => ({
    network,
    isListed: (host, port) => list.hasHost(host, port) && !deps.deny.hasHost(host, port),
    isReachable: (address, port) =>
      !isDenied(address, port) &&
      (list.hasAddress(address, port) ||
        (network === 'public' && isPublicAddress(address) && !deps.isOwnAddress(address))),
    isDenied,
    isDeniedHost: (host, port) =>
      isIP(host) === 0 ? deps.deny.hasHost(host, port) : isDenied(host, port),
  })
  return {
    public: reach('public', deps.allow),
    internal: reach('internal', eitherList(deps.allow, deps.allowInternal)),
  }
}
