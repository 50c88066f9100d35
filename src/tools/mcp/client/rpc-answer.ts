/** Deeper than any schema that is taken; below it, nothing that reads the answer runs out of stack. */
const MAX_DEPTH = 100

export type RpcAnswer =
  /** JSON text of the one message that answers the request. */
  | { readonly kind: 'message'; readonly text: string }
  | { readonly kind: 'problem'; readonly reason: string }

interface RawAnswer {
  readonly contentType: string
  readonly body: string
  readonly isCut: boolean
  readonly maxBytes: number
}

/**
 * The message in an answer to a JSON-RPC request, whether it came as JSON or as a stream of events that was read to its end.
 * What else is in the stream (progress, logs, requests to the client) is left out: nobody here answers a server.
 * [MCP 2025-11-25 and 2026-07-28, Streamable HTTP]
 */
export function readRpcAnswer(raw: RawAnswer, id: string | number): RpcAnswer {
  const type = raw.contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const problem = (reason: string): RpcAnswer => ({ kind: 'problem', reason })
  if (type !== 'application/json' && type !== 'text/event-stream') {
    const shown = /^[\w.+/-]{1,60}$/.test(type) ? type : 'something else'
    return problem(`it answered ${type === '' ? 'without a content type' : shown}, and no MCP`)
  }
  // Of a stream that was cut, the answer may have come before.
  const isStream = type === 'text/event-stream'
  if (raw.isCut && !isStream) return problem(`its answer is over ${raw.maxBytes} bytes`)
  const parsed = isStream ? eventsOf(raw.body).flatMap(parseJson) : parseJson(raw.body)
  if (!isStream && parsed.length === 0) return problem('its answer is not JSON')
  const message = parsed.flat().find((each) => isAnswerTo(each, id))
  if (message === undefined) {
    return problem(
      raw.isCut
        ? `its answer is over ${raw.maxBytes} bytes`
        : 'its answer ended without a response to the request',
    )
  }
  if (isDeeper(message, MAX_DEPTH)) return problem('its answer is nested too deep')
  return { kind: 'message', text: JSON.stringify(message) }
}

/** The data of each event. [WHATWG HTML §9.2.6] */
function eventsOf(stream: string): string[] {
  return stream
    .replace(/^\ufeff/, '')
    .split(/(?:\r\n|\r|\n){2,}/)
    .map((event) =>
      event
        .split(/\r\n|\r|\n/)
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(line.startsWith('data: ') ? 6 : 5))
        .join('\n'),
    )
    .filter((data) => data !== '')
}

/** One value, or none where the text is no JSON. */
function parseJson(text: string): unknown[] {
  try {
    return [JSON.parse(text)]
  } catch {
    return []
  }
}

function isAnswerTo(message: unknown, id: string | number): boolean {
  if (typeof message !== 'object' || message === null || 'method' in message) return false
  // An error in the request itself may have no id. [JSON-RPC 2.0 §5]
  const isError = 'error' in message
  const given = 'id' in message ? message.id : null
  return given === id || (isError && given === null)
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((entry) => isDeeper(entry, levels - 1))
}
