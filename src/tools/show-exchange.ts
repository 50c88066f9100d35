import { cutMiddle, cutText } from '../core/cut.ts'
import type { Redact } from '../core/redact.ts'
import type { JsonSchema } from './args.ts'
import type { Exchange } from './call.ts'
import { hideMarked } from './marks.ts'

const MAX_BODY_LENGTH = 16_384
const MAX_HEADER_LENGTH = 1024
const SECRET = '[secret]'

/** By name, in lower case, what stands for a value that is not shown. */
const UNSHOWN: Readonly<Record<string, string>> = {
  'x-ai-chat-context': '[token]',
  'x-ai-chat-signature': '[signature]',
  'webhook-signature': '[signature]',
  'proxy-authorization': SECRET,
  cookie: SECRET,
  'set-cookie': SECRET,
}

type Headers = Readonly<Record<string, string>>

/** What went over the line, for people: without secrets, and cut in the middle where it is long. */
export interface ShownExchange {
  /** null: nothing was sent over HTTP for it. */
  readonly request: {
    readonly method: string
    readonly url: string
    readonly headers: Headers
    readonly body: string | null
  } | null
  /** null: nothing came back. */
  readonly response: {
    readonly statusCode: number
    readonly headers: Headers
    /** 16 Ki characters at most; null: it is encoded in a way that nobody asked for, and no text. */
    readonly body: string | null
    readonly bodyIsCut: boolean
  } | null
}

/** @param outputSchema says what of the answer is secret; null: nothing is known of it */
export function showExchange(
  exchange: Exchange | null,
  outputSchema: JsonSchema | null,
): ShownExchange {
  if (exchange === null) return { request: null, response: null }
  const { method, url, headers, body, answer, redact } = exchange
  return {
    request: {
      method,
      url: redact.text(url),
      headers: showHeaders(pairsOf(headers), redact),
      body: body === null ? null : cutMiddle(redact.text(body), MAX_BODY_LENGTH),
    },
    response:
      answer === null
        ? null
        : {
            statusCode: answer.statusCode,
            headers: showHeaders(Object.entries(answer.headers), redact),
            ...showBody(answer, redact, outputSchema),
          },
  }
}

function showBody(
  { body, isCut, encoding }: NonNullable<Exchange['answer']>,
  redact: Redact,
  schema: JsonSchema | null,
) {
  if (encoding !== null) return { body: null, bodyIsCut: isCut }
  const text = withoutMarked(body.toString(), schema)
  const clean = isCut ? redact.cutText(text) : redact.text(text)
  return {
    body: cutMiddle(clean, MAX_BODY_LENGTH),
    bodyIsCut: isCut || clean.length > MAX_BODY_LENGTH,
  }
}

/** As it came, but where it has something that the schema marks: that is found in JSON alone. */
function withoutMarked(text: string, schema: JsonSchema | null): string {
  const value = parsed(text)
  const hidden = hideMarked(schema, value)
  if (hidden === value) return text
  return typeof hidden === 'string' ? hidden : JSON.stringify(hidden)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function pairsOf(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, at) => [
    flat[2 * at] ?? '',
    flat[2 * at + 1] ?? '',
  ])
}

/** What has one name stands in one line, as HTTP has it. [RFC 9110 §5.3] */
function showHeaders(
  pairs: readonly (readonly [string, string | readonly string[] | undefined])[],
  redact: Redact,
): Headers {
  const lines = new Map<string, string[]>()
  for (const [given, value = []] of pairs) {
    const name = given.toLowerCase()
    const shown = [value].flat().map((one) => showHeader(name, one, redact))
    lines.set(name, [...(lines.get(name) ?? []), ...shown])
  }
  return Object.fromEntries([...lines].map(([name, values]) => [name, values.join(', ')]))
}

function showHeader(name: string, value: string, redact: Redact): string {
  const instead = Object.hasOwn(UNSHOWN, name) ? UNSHOWN[name] : undefined
  if (instead !== undefined) return instead
  // Whatever its scheme makes of a credential, like Basic with its Base64: nobody could take that out.
  if (name === 'authorization') {
    const [, scheme] = /^([A-Za-z][\w-]*) ./.exec(value) ?? []
    return scheme === undefined ? SECRET : `${scheme} ${SECRET}`
  }
  return cutText(redact.text(value), MAX_HEADER_LENGTH)
}
