import { toSnippet } from '../core/answer.ts'
import type { Redact } from '../core/redact.ts'
import type { EgressResult } from '../egress/exchange.ts'

/** Of an answer's body; the rest is not read. */
export const MAX_RESULT_BYTES = 262_144
const MAX_ERROR_SNIPPET = 300
/** What a result ends with of which the rest was not read. */
export const CUT_MARK = `\n[cut: the result is over ${MAX_RESULT_BYTES} bytes]`

/** What came of a call. */
export interface CallResult {
  readonly outcome: 'success' | 'error' | 'timeout' | 'blocked'
  readonly result: unknown
  readonly error: string | null
}

export type EndpointAnswer = Extract<EgressResult, { kind: 'answer' }>

/** A call's result from what the endpoint did, cleaned of secrets. */
export function toCallResult(answer: EgressResult, redact: Redact): CallResult {
  switch (answer.kind) {
    case 'answer':
      return toAnswerResult(answer, redact)
    case 'timeout':
    case 'blocked':
      return failed(answer.kind, redact.text(answer.reason))
    case 'failed':
      return failed('error', redact.text(answer.reason))
    case 'interrupted':
      return failed('error', 'interrupted before the endpoint answered')
  }
}

export function failed(outcome: CallResult['outcome'], error: string): CallResult {
  return { outcome, result: null, error }
}

function toAnswerResult(answer: EndpointAnswer, redact: Redact): CallResult {
  const { statusCode, isCut, encoding } = answer
  if (encoding !== null) {
    const shown = redact.text(encoding)
    return failed('error', `HTTP ${statusCode}: the answer is encoded (${shown}), unasked`)
  }
  const text = answer.body.toString()
  if (statusCode >= 200 && statusCode < 300) {
    return { outcome: 'success', result: parseResult(answer, text, redact), error: null }
  }
  const hint = statusCode < 400 ? ' (redirects are not followed)' : ''
  const clean = isCut ? redact.cutText(text) : redact.text(text)
  const isLong = clean.length > MAX_ERROR_SNIPPET
  const snippet = toSnippet(clean.slice(0, MAX_ERROR_SNIPPET), isCut || isLong).trim()
  return failed('error', `HTTP ${statusCode}${hint}${snippet === '' ? '' : `: ${snippet}`}`)
}

/** JSON where the endpoint says so or says nothing, and it is; text otherwise. A result that was cut says so. */
function parseResult(answer: EndpointAnswer, text: string, redact: Redact): unknown {
  if (answer.isCut) {
    return redact.cutText(text) + CUT_MARK
  }
  const type = headerOf(answer, 'content-type')
  if (text === '') return null
  if (type !== '' && !/^[\w.+-]+\/(?:[\w.+-]+\+)?json\s*(?:;|$)/.test(type)) {
    return redact.text(text)
  }
  try {
    return redact.json(JSON.parse(text))
  } catch {
    return redact.text(text)
  }
}

/** The first value of a header, in lower case; empty where there is none. */
export function headerOf({ headers }: EndpointAnswer, name: string): string {
  const value = headers[name]
  return (Array.isArray(value) ? (value[0] ?? '') : (value ?? '')).trim().toLowerCase()
}
