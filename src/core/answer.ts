import type { Outcome } from './delivery.ts'
import { retryAfterMs } from './schedule.ts'

/** What an endpoint answered, as far as a decision needs it. */
export interface Answer {
  readonly statusCode: number
  readonly retryAfter: string | undefined
  /** The beginning of the body, made printable. */
  readonly snippet: string
  /** As it came, for those who read it in the app's own format; what a try does not read of it is missing. */
  readonly body: Buffer
}

/** What an answer means for a webhook. [Standard Webhooks 1.0: 2xx is success, a redirect is a failure, 410 is goodbye] */
export function judgeAnswer(answer: Omit<Answer, 'body'>, nowMs: number): Outcome {
  const { statusCode, snippet } = answer
  if (statusCode >= 200 && statusCode < 300) return { kind: 'delivered', statusCode, snippet }
  if (statusCode === 410) {
    return { kind: 'gone', statusCode, snippet, error: 'HTTP 410: the receiver wants nothing more' }
  }
  const waitMs = retryAfterMs(answer.retryAfter, nowMs)
  if (statusCode === 429 || (statusCode === 503 && waitMs !== null)) {
    const asked = waitMs === null ? '' : `, asks to wait ${Math.ceil(waitMs / 1000)} s`
    const error = `HTTP ${statusCode}: the receiver is throttling${asked}`
    return { kind: 'throttled', statusCode, snippet, error, retryAfterMs: waitMs }
  }
  const isRedirect = statusCode >= 300 && statusCode < 400
  const error = isRedirect ? `HTTP ${statusCode}: redirects are not followed` : `HTTP ${statusCode}`
  return { kind: 'failed', statusCode, snippet, error }
}

const MAX_SNIPPET_LENGTH = 1024

/** Without control characters, but tabs and line ends. */
export function withoutControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '\ufffd')
}

/** The beginning of a body as text that can stand in a table: no control characters, cut with a mark. */
export function toSnippet(body: string, isCut: boolean): string {
  const printable = withoutControls(body)
  return isCut || printable.length > MAX_SNIPPET_LENGTH
    ? `${printable.slice(0, MAX_SNIPPET_LENGTH - 1).toWellFormed()}…`
    : printable
}
