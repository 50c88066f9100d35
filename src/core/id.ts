const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

const ORG_ID = /^[A-Za-z0-9][A-Za-z0-9_.:@|-]{0,127}$/

export function isUuid(text: string): boolean {
  return UUID.test(text)
}

/** Org ids are the host's: letters, digits and `_ . : @ | -`, 128 characters at most. */
export function isOrgId(text: string): boolean {
  return ORG_ID.test(text)
}

/** When a UUIDv7 was made, to the millisecond. */
export function timeOfId(id: string): Date {
  return new Date(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16))
}

/** What a generator of ids needs from outside. */
interface IdSource {
  readonly nowMs: () => number
  readonly randomBytes: (size: number) => Uint8Array
}

const MAX_SEQUENCE = 0xfff

/**
 * Makes UUIDv7 (RFC 9562 §5.7), each greater than the one before: within a millisecond a 12-bit counter takes the place of
 * `rand_a` (method 1 of §6.2), so things that were made in order sort in order.
 */
export function makeNewId({ nowMs, randomBytes }: IdSource): () => string {
  let lastMs = 0
  let sequence = 0
  return () => {
    const now = nowMs()
    if (now > lastMs) {
      lastMs = now
      sequence = 0
    } else if (sequence < MAX_SEQUENCE) {
      sequence += 1
    } else {
      lastMs += 1
      sequence = 0
    }
    const time = lastMs.toString(16).padStart(12, '0')
    const counter = sequence.toString(16).padStart(3, '0')
    const [first = 0, ...rest] = randomBytes(8)
    const tail = [(first & 0x3f) | 0x80, ...rest].map(hexByte).join('')
    return `${time.slice(0, 8)}-${time.slice(8)}-7${counter}-${tail.slice(0, 4)}-${tail.slice(4)}`
  }
}

function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}
