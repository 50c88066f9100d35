import { isHostName } from '../core/domains.ts'

/** Names of the local host, of the cloud's metadata and of container networks. Single labels are refused anyway. */
export const INTERNAL_NAMES: ReadonlySet<string> = new Set([
  'localhost.localdomain',
  'localhost4.localdomain4',
  'localhost6.localdomain6',
  'metadata.goog',
  'metadata.tencentyun.com',
  'metadata.packet.net',
  'metadata.platformequinix.com',
  'api.metadata.cloud.ibm.com',
  'kubernetes.default',
])

/** The names under these, and these themselves, belong to no public host. */
export const INTERNAL_SUFFIXES: readonly string[] = [
  '.localhost',
  '.localdomain',
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
  '.ipv4only.arpa',
]

/**
 * Why a name can be no public host, or null. A courtesy at once: what holds is the judge of the address while connecting.
 * A single label would be looked up in search domains.
 */
export function publicNameProblem(name: string): string | null {
  if (!isHostName(name)) return name === '' ? 'has no host' : 'has a host that is no valid name'
  if (!name.includes('.')) return 'must have a full host name, not a single label'
  const isInternal =
    INTERNAL_NAMES.has(name) || INTERNAL_SUFFIXES.some((suffix) => `.${name}`.endsWith(suffix))
  return isInternal ? 'points to a name that is not public' : null
}
