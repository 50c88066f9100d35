const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/
const ZEROS = /^0+$/
/** Made at random; nobody has said that it is recorded. */
const NEW_FLAGS = '02'
/** `sampled` and `random-trace-id`; what else there may be of a later version is not handed on. */
const KNOWN_FLAGS = 0b11

/**
 * The `traceparent` of a call that is made on behalf of a request: the same trace, a new span, the same flags. Without one, or
 * with one that is malformed, a trace begins. [W3C Trace Context, Level 2, §3.2 and §4.3]
 *
 * @param traceparent as the request had it
 */
export function childOf(
  traceparent: string | null,
  randomBytes: (size: number) => Uint8Array,
): string {
  const parent = traceparent === null ? null : parseTraceparent(traceparent)
  const traceId = parent?.traceId ?? randomId(16, randomBytes)
  return `00-${traceId}-${randomId(8, randomBytes)}-${parent?.flags ?? NEW_FLAGS}`
}

function parseTraceparent(text: string): { traceId: string; flags: string } | null {
  const [whole, traceId = '', spanId = '', flags = ''] = TRACEPARENT.exec(text) ?? []
  if (whole === undefined || ZEROS.test(traceId) || ZEROS.test(spanId)) return null
  // Only a later version may have more behind its flags.
  if (whole.startsWith('00') && whole.length > '00-'.length + 32 + 1 + 16 + 1 + 2) return null
  const known = Number.parseInt(flags, 16) & KNOWN_FLAGS
  return { traceId, flags: known.toString(16).padStart(2, '0') }
}

/** Hexadecimal, and not all zeros: such an id is invalid. */
function randomId(size: number, randomBytes: (size: number) => Uint8Array): string {
  const hex = Buffer.from(randomBytes(size)).toString('hex')
  return ZEROS.test(hex) ? `${hex.slice(0, -1)}1` : hex
}
