import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'

const PREFIX = 'pbk_'
const RANDOM_BYTES = 32
/** 32 random bytes and their CRC-32 are exactly 48 characters of base64url, so a key has one spelling. */
const KEY = /^pbk_[A-Za-z0-9_-]{48}$/

/** A new API key. Its prefix and checksum let scanners of source code know one for sure. */
export function newApiKey(randomBytes: (size: number) => Uint8Array): string {
  const random = Buffer.from(randomBytes(RANDOM_BYTES))
  return PREFIX + Buffer.concat([random, checksum(random)]).toString('base64url')
}

/** Whether a bearer token means to be an API key: no JWT begins like one. */
export function looksLikeApiKey(token: string): boolean {
  return token.startsWith(PREFIX)
}

/** What is kept of a key; null where no key of ours can be spelled like this. */
export function apiKeyHash(key: string): Buffer | null {
  if (!KEY.test(key)) return null
  const bytes = Buffer.from(key.slice(PREFIX.length), 'base64url')
  const random = bytes.subarray(0, RANDOM_BYTES)
  const isWhole = checksum(random).equals(bytes.subarray(RANDOM_BYTES))
  return isWhole ? hash('sha256', key, 'buffer') : null
}

function checksum(bytes: Uint8Array): Buffer {
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(bytes))
  return sum
}
