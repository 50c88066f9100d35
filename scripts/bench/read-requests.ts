const END_OF_HEAD = Buffer.from('\r\n\r\n')

export interface Request {
  readonly path: string
  /** As it came, without the empty line: `POST /path HTTP/1.1`, then the headers. */
  readonly head: string
  readonly body: Buffer
}

/**
 * As much of HTTP/1.1 as our clients write: a head, a content-length, a body, one after another on a connection, in whatever
 * pieces they come.
 *
 * @returns takes the next piece
 */
export function makeReadRequests(onRequest: (request: Request) => void): (chunk: Buffer) => void {
  let rest: Buffer | null = null
  return (chunk) => {
    const bytes = rest === null ? chunk : Buffer.concat([rest, chunk])
    let at = 0
    while (at < bytes.length) {
      const endOfHead = bytes.indexOf(END_OF_HEAD, at)
      if (endOfHead === -1) break
      const head = bytes.toString('latin1', at, endOfHead)
      const bodyStart = endOfHead + END_OF_HEAD.length
      const end = bodyStart + Number(headerOf(head, 'content-length') ?? 0)
      if (end > bytes.length) break
      const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/1.1'))
      onRequest({ path, head, body: bytes.subarray(bodyStart, end) })
      at = end
    }
    rest = at < bytes.length ? bytes.subarray(at) : null
  }
}

/** @param name as our clients write it: in lower case */
export function headerOf(head: string, name: string): string | null {
  const at = head.indexOf(`\r\n${name}: `)
  if (at === -1) return null
  const from = at + name.length + 4
  const to = head.indexOf('\r\n', from)
  // A string of its own: a slice would keep the whole head.
  return Buffer.from(to === -1 ? head.slice(from) : head.slice(from, to)).toString()
}

/** All of them, names in lower case. */
export function headersOf(head: string): Record<string, string> {
  const [, ...lines] = head.split('\r\n')
  return Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
}
