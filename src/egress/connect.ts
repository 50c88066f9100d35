import { lookup, Resolver } from 'node:dns/promises'
import { isIP, type Socket } from 'node:net'
import type { buildConnector } from 'undici'
import type { Reach } from './reach.ts'

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
 *
 * @param timeoutMs for the whole, however many name servers there are; half of it for each
 */
export function makeResolve(timeoutMs = 3000): Resolve {
  return async (name) => {
    const resolver = new Resolver({ timeout: Math.round(timeoutMs / 2), tries: 1 })
    const timer = setTimeout(() => resolver.cancel(), timeoutMs)
    const answers = await Promise.allSettled([
      resolver.resolve4(`${name}.`),
      resolver.resolve6(`${name}.`),
    ])
    clearTimeout(timer)
    const addresses = answers.flatMap((answer) =>
      answer.status === 'fulfilled' ? answer.value : [],
    )
    if (addresses.length > 0) return addresses
    const failed = answers.find((answer) => answer.status === 'rejected')
    throw new DnsError(`${name} could not be resolved`, { cause: failed?.reason })
  }
}

/** Opens a socket to an address, with TLS for `servername` where the protocol is https. */
export type Dial = buildConnector.connector

interface ConnectDeps {
  readonly reach: Reach
  readonly resolve: Resolve
  readonly dial: Dial
  /** Whether a socket's other end is the address that was dialled; it is not behind a proxy. */
  readonly isDirect: boolean
}

interface Vetted {
  /** All of them may be called; one at least. */
  readonly addresses: readonly string[]
  readonly port: number
  /** The operator named the host. */
  readonly isListed: boolean
}

/**
 * undici's connector with a guard in front: it judges the address that is dialled, in the moment of dialling.
 *
 * A `connect` function sees literals and names alike (a `lookup` is never asked for literals). Every resolved address must
 * be allowed, one bad record refuses all, and what is dialled is what was vetted, so a name that changes its mind between
 * check and use gains nothing. TLS still checks the certificate against the name.
 */
export function makeGuardedConnector(deps: ConnectDeps): buildConnector.connector {
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
    const port = Number(options.port) || (options.protocol === 'https:' ? 443 : 80)
    vet(host, port, deps).then(
      (vetted) => {
        const isName = isIP(host) === 0
        const servername = options.servername ?? (isName ? host : undefined)
        const to = { ...options, port: String(port), ...(servername && { servername }) }
        dialInTurn(to, vetted, deps, callback)
      },
      (error: Error) => callback(error, null),
    )
  }
}

/** A host may have several addresses, and some of them be away: nothing has been sent to those. One that says nothing is not passed. */
const UNREACHED = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'])
const MOST_DIALLED = 3

function dialInTurn(
  to: Omit<buildConnector.Options, 'hostname'>,
  vetted: Vetted,
  deps: ConnectDeps,
  callback: buildConnector.Callback,
): void {
  const dial = ([address = '', ...others]: readonly string[]) => {
    const finish = deps.isDirect ? checkPeer(address, vetted, deps.reach, callback) : callback
    deps.dial({ ...to, hostname: address }, (...[error, socket]) => {
      if (error === null) finish(null, socket)
      else if (others.length > 0 && isUnreached(error)) dial(others)
      else callback(error, null)
    })
  }
  dial(vetted.addresses.slice(0, MOST_DIALLED))
}

function isUnreached(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && UNREACHED.has(error.code)
}

/** The last look, at the other end itself. */
function checkPeer(
  dialled: string,
  vetted: Vetted,
  reach: Reach,
  callback: buildConnector.Callback,
): buildConnector.Callback {
  return (...[error, socket]) => {
    if (error !== null) callback(error, null)
    else if (isPeer(socket, dialled, vetted, reach)) callback(null, socket)
    else {
      socket.destroy()
      callback(new BlockedError(BLOCKED), null)
    }
  }
}

function isPeer({ remoteAddress }: Socket, dialled: string, vetted: Vetted, reach: Reach): boolean {
  // A socket that has gone since has no other end.
  if (remoteAddress === undefined || remoteAddress === dialled || vetted.isListed) return true
  return reach.isReachable(remoteAddress, vetted.port)
}

/** The addresses to dial for a host, one after the other. Throws BlockedError or DnsError. */
async function vet(host: string, port: number, { reach, resolve }: ConnectDeps): Promise<Vetted> {
  if (reach.isListed(host, port)) {
    // The operator named this host: the system's resolver may know it from /etc/hosts or a container network.
    const found = isIP(host) === 0 ? await lookup(host, { all: true, order: 'ipv4first' }) : []
    const addresses = found.length > 0 ? found.map(({ address }) => address) : [host]
    if (addresses.some((each) => reach.isDenied(each, port))) throw new BlockedError(BLOCKED)
    return { addresses, port, isListed: true }
  }
  const addresses = isIP(host) === 0 ? await resolve(host) : [host]
  if (addresses.length === 0 || !addresses.every((each) => reach.isReachable(each, port))) {
    throw new BlockedError(BLOCKED)
  }
  return { addresses, port, isListed: false }
}

const BLOCKED = 'the host resolves to an address that may not be called'
