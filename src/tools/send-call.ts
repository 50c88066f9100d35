import type { Egress } from '../egress/egress.ts'
import type { EgressResult } from '../egress/exchange.ts'
import type { Network } from '../egress/reach.ts'
import type { Target } from '../egress/url.ts'
import { makeSign } from '../security/signature.ts'
import { headerOf, MAX_RESULT_BYTES } from './call-result.ts'
import { childOf } from './trace.ts'

/** What is worth another try at once: the endpoint, or what is in front of it, was not there for a moment. */
const PASSING_STATUSES = new Set([429, 502, 503, 504])
const FIRST_WAIT_MS = 200
const WAIT_SPREAD_MS = 200
/** A longer one is for whoever asked for the run to wait. */
const MAX_RETRY_AFTER_S = 2
/** What has to be left of the time for a second try. */
const MIN_TRY_MS = 250

/** A call whose every part is judged and filled in; the same for each try. */
export interface ReadyCall {
  readonly target: Target
  readonly network: Network
  readonly method: string
  /** Name, value, … */
  readonly headers: readonly string[]
  readonly body: string | null
  /** For all tries together. */
  readonly timeoutMs: number
  /** Whether a failed try may be made again: nothing happens twice by it. */
  readonly isRepeatable: boolean
  readonly tool: string
  readonly runId: string
  /** Newest first. */
  readonly signingSecrets: readonly string[]
  readonly contextToken: string
  readonly traceparent: string | null
  readonly signal: AbortSignal | undefined
}

export interface SentCall {
  readonly answer: EgressResult
  /** Requests that were made. */
  readonly attempts: number
  /** Of the last one: name, value, … */
  readonly headers: readonly string[]
}

interface SendDeps {
  readonly egress: Pick<Egress, 'send'>
  readonly nowMs: () => number
  readonly random: () => number
  readonly randomBytes: (size: number) => Uint8Array
  /** Ends early, without an error, where the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>
}

/**
 * Sends a tool's call, signed as a webhook is (Standard Webhooks 1.0; `webhook-id` and `Idempotency-Key` are the run's id, the
 * same on each try), with a span of its own for each try (W3C Trace Context). One more try where nothing can happen twice.
 */
export function makeSendCall({ egress, nowMs, random, randomBytes, sleep }: SendDeps) {
  return async function sendCall(call: ReadyCall): Promise<SentCall> {
    const endsAtMs = nowMs() + call.timeoutMs
    const { method, body, signal } = call
    const trace = childOf(call.traceparent, randomBytes)
    const attempt = async (
      traceparent: string,
      timeoutMs: number,
    ): Promise<Omit<SentCall, 'attempts'>> => {
      const headers = [...call.headers, ...signedHeaders(call, nowMs()), 'traceparent', traceparent]
      const answer = await egress.send(call.target, call.network, {
        method,
        headers,
        body,
        timeoutMs,
        maxBytes: MAX_RESULT_BYTES,
        ...(signal === undefined ? {} : { signal }),
      })
      return { answer, headers }
    }
    const first = await attempt(trace, call.timeoutMs)
    const waitMs = call.isRepeatable ? waitBefore(first.answer, random()) : null
    if (waitMs === null || nowMs() + waitMs + MIN_TRY_MS > endsAtMs)
      return { ...first, attempts: 1 }
    await sleep(waitMs, signal)
    if (signal?.aborted === true) return { ...first, attempts: 1 }
    const leftMs = Math.max(1, endsAtMs - nowMs())
    return { ...(await attempt(childOf(trace, randomBytes), leftMs)), attempts: 2 }
  }
}

function signedHeaders(call: ReadyCall, nowMs: number): string[] {
  const { runId, tool, signingSecrets, contextToken, body } = call
  const own = ['idempotency-key', runId, 'X-AI-Chat-Tool', tool, 'X-AI-Chat-Context', contextToken]
  if (signingSecrets.length === 0) return own
  const timestampS = Math.floor(nowMs / 1000)
  const { standard, plain } = makeSign(signingSecrets)(runId, timestampS, body ?? '')
  return [
    ...own,
    'X-AI-Chat-Signature',
    plain,
    'webhook-id',
    runId,
    'webhook-timestamp',
    String(timestampS),
    'webhook-signature',
    standard,
  ]
}

/** How long to wait before another try; null: another try would help nothing, or nobody knows what the first one did. */
function waitBefore(answer: EgressResult, random: number): number | null {
  const waitMs = FIRST_WAIT_MS + WAIT_SPREAD_MS * random
  if (answer.kind === 'failed') return waitMs
  if (answer.kind !== 'answer' || !PASSING_STATUSES.has(answer.statusCode)) return null
  const wanted = headerOf(answer, 'retry-after')
  if (wanted === '') return answer.statusCode === 429 ? null : waitMs
  const seconds = /^\d{1,6}$/.test(wanted) ? Number(wanted) : Number.POSITIVE_INFINITY
  return seconds <= MAX_RETRY_AFTER_S ? Math.max(waitMs, seconds * 1000) : null
}
