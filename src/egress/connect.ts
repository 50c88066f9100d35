import { lookup, Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { buildConnector } from 'undici'
import { isPublicAddress } from './address.ts'
import type { AllowList } from './allow-list.ts'

/** The address may not be called. The message is for the org: it never says what a name resolved to. */
export class BlockedError extends Error {
  override readonly name = 'BlockedError'
}

export class DnsError extends Error {
  override readonly name = 'DnsError'
}

/** Addresses of a name, from DNS; rejects where there is none. */
export type Resolve = (name: string) => Promise<string[]>

/**
 * Resolves with c-ares, outside libuv's thread pool, so that one dead name server never delays another org's names. The
 * name is absolute: no search domain is tried. It knows neither /etc/hosts nor numeric spellings of addresses.
 */
export function makeResolve(timeoutMs = 3000): Resolve {
  return async (name) => {
    const resolver = new Resolver({ timeout: timeoutMs, tries: 1 })
    const answers = await Promise.allSettled([
      resolver.resolve4(`${name}.`),
      resolver.resolve6(`${name}.`),
    ])
    const addresses = answers.flatMap((answer) =>
      answer.status === 'fulfilled' ? answer.value : [],
    )
    if (addresses.length > 0) return addresses
    const failed = answers.find((answer) => answer.status === 'rejected')
    throw new DnsError(`${name} could not be resolved`, { cause: failed?.reason })
  }
}

interface ConnectDeps {
  readonly allow: AllowList
  readonly resolve: Resolve
  readonly connectTimeoutMs: number
}

/**
 * undici's connector with a guard in front: it judges the address that is dialled, in the moment of dialling.
 *
 * A `connect` function sees literals and names alike (a `lookup` is never asked for literals). Every resolved address must
 * be allowed, one bad record refuses all, and the vetted address is the one that is dialled, so a name that changes its
 * mind between check and use gains nothing. TLS still checks the certificate against the name.
 */
export function makeGuardedConnector(deps: ConnectDeps): buildConnector.connector {
  const dial = buildConnector({ timeout: deps.connectTimeoutMs, keepAlive: true, allowH2: false })
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
    const port = Number(options.port) || (options.protocol === 'https:' ? 443 : 80)
    vet(host, port, deps).then(
      (address) => {
        const isName = isIP(host) === 0
        const servername = options.servername ?? (isName ? host : undefined)
        dial(
          { ...options, hostname: address, ...(servername === undefined ? {} : { servername }) },
          callback,
        )
      },
      (error: Error) => callback(error, null),
    )
  }
}

/** The address to dial for a host. Throws BlockedError or DnsError. */
async function vet(host: string, port: number, deps: ConnectDeps): Promise<string> {
  if (isIP(host) !== 0) {
    assertAllowed([host], port, deps.allow)
    return host
  }
  if (deps.allow.hasHost(host, port)) {
    // The operator named this host: the system's resolver may know it from /etc/hosts or a container network.
    return (await lookup(host)).address
  }
  const addresses = await deps.resolve(host)
  assertAllowed(addresses, port, deps.allow)
  const [address = ''] = addresses
  return address
}

function assertAllowed(addresses: readonly string[], port: number, allow: AllowList): void {
  const isFine = (address: string) => isPublicAddress(address) || allow.hasAddress(address, port)
  if (addresses.length === 0 || !addresses.every(isFine)) {
    throw new BlockedError('the host resolves to an address that is not public')
  }
}
