const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

const ORG_ID = /^[A-Za-z0-9][A-Za-z0-9_.:@|-]{0,127}$/

export function isUuid(text: string): boolean {
  return UUID.test(text)
}

/** Org ids are the host's: letters, digits and `_ . : @ | -`, 128 characters at most. */
export function isOrgId(text: string): boolean {
  return ORG_ID.test(text)
}

/**
 * A UUIDv7 (RFC 9562 §5.7).
 *
 * @param nowMs unix time in milliseconds
 * @param random ten random bytes
 */
export function uuidV7(nowMs: number, random: Uint8Array): string {
  const time = nowMs.toString(16).padStart(12, '0')
  const tail = Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('')
  const variant = ((random[2] ?? 0) & 0x3f) | 0x80
  return [
    time.slice(0, 8),
    time.slice(8),
    `7${tail.slice(0, 3)}`,
    variant.toString(16) + tail.slice(6, 8),
    tail.slice(8, 20),
  ].join('-')
}
