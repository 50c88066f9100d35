import { type Answer, toSnippet } from '../core/answer.ts'
import type { Outcome } from '../core/delivery.ts'
import type { EventRecord } from '../core/event.ts'
import { withoutContent } from '../core/event-types.ts'
import type { OutgoingMessage } from '../core/provider.ts'
import type { Redact } from '../core/redact.ts'
import type { Egress } from '../egress/egress.ts'
import type { EgressResult } from '../egress/exchange.ts'
import type { Network } from '../egress/reach.ts'
import type { UrlVerdict } from '../egress/url.ts'
import type { Sign } from '../security/signature.ts'
import type { ClaimedRow } from './claim.ts'

const MAX_ANSWER_BYTES = 16_384

/** A subscription as a try needs it: opened, parsed, ready to send. */
export interface LaneConfig {
  readonly url: UrlVerdict
  readonly network: Network
  /** Name, value, … as the org set them. */
  readonly headers: readonly string[]
  readonly sign: Sign
  readonly scheduleS: readonly number[]
  readonly maxAgeS: number | null
  readonly content: 'thin' | 'full'
  readonly render: (event: EventRecord) => OutgoingMessage
  readonly judge: (answer: Answer, nowMs: number) => Outcome
  /** Knows the lane's own secrets: an endpoint that echoes its request does not write them into the history. */
  readonly redact: Redact
}

export interface Tried {
  readonly outcome: Outcome
  readonly durationMs: number
}

export interface AttemptLimits {
  /** By `performance.now()`: a try whose first byte has not left by then is not made, because somebody else may make it. */
  readonly startByMs: number
  readonly signal: AbortSignal
}

interface AttemptDeps {
  readonly send: Egress['send']
  readonly nowMs: () => number
  readonly timeoutMs: number
  readonly userAgent: string
}

/** One try: build, sign, send, judge. Never throws for what the endpoint did. An event that is missing is past its retention. */
export function makeAttempt({ send, nowMs, timeoutMs, userAgent }: AttemptDeps) {
  return async function attempt(
    row: ClaimedRow,
    event: EventRecord | undefined,
    lane: LaneConfig,
    { startByMs, signal }: AttemptLimits,
  ): Promise<Tried> {
    const startedAt = performance.now()
    const tried = (outcome: Outcome): Tried => ({
      outcome,
      durationMs: Math.round(performance.now() - startedAt),
    })
    if (event === undefined) {
      return tried({ kind: 'expired', error: 'the event is past its retention; its body is gone' })
    }
    const isTooOld = lane.maxAgeS !== null && row.age_s !== null && row.age_s > lane.maxAgeS
    if (isTooOld && row.trigger === 'schedule') {
      return tried({ kind: 'expired', error: `older than ${lane.maxAgeS} s (maxAgeSeconds)` })
    }
    if (!lane.url.isAllowed) return tried({ kind: 'blocked', error: `the URL ${lane.url.reason}` })

    const message = lane.render(lane.content === 'full' ? event : withoutDetail(event))
    const result = await send(lane.url.target, lane.network, {
      method: 'POST',
      headers: headersOf(row, event.type, lane, message, Math.floor(nowMs() / 1000), userAgent),
      body: message.body,
      timeoutMs,
      maxBytes: MAX_ANSWER_BYTES,
      startByMs,
      signal,
    })
    return tried(toOutcome(result, lane, nowMs()))
  }
}

function withoutDetail(event: EventRecord): EventRecord {
  return { ...event, data: withoutContent(event.type, event.data) }
}

/** The event's id is the webhook's, the same on every try; the timestamp is the try's. */
function headersOf(
  row: ClaimedRow,
  type: string,
  lane: LaneConfig,
  message: OutgoingMessage,
  timestampS: number,
  userAgent: string,
): string[] {
  const headers = [...lane.headers, 'content-type', 'application/json', 'user-agent', userAgent]
  if (!message.isSigned) return headers
  const signature = lane.sign(row.event_id, timestampS, message.body)
  headers.push(
    'X-AI-Chat-Event',
    type,
    'X-AI-Chat-Signature',
    signature.plain,
    'X-AI-Chat-Delivery',
    row.delivery_id,
    'X-AI-Chat-Attempt',
    String(row.attempt),
    'webhook-id',
    row.event_id,
    'webhook-timestamp',
    String(timestampS),
    'webhook-signature',
    signature.standard,
  )
  return headers
}

function snippetOf(body: Buffer, isCut: boolean, redact: Redact): string {
  const text = body.toString()
  return toSnippet(isCut ? redact.cutText(text) : redact.text(text), isCut)
}

function toOutcome(result: EgressResult, lane: LaneConfig, nowMs: number): Outcome {
  switch (result.kind) {
    case 'answer': {
      const retryAfter = result.headers['retry-after']
      const answer = {
        statusCode: result.statusCode,
        retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
        snippet:
          result.encoding === null
            ? snippetOf(result.body, result.isCut, lane.redact)
            : `(encoded: ${lane.redact.text(result.encoding)})`,
      }
      return lane.judge(answer, nowMs)
    }
    case 'blocked':
      return { kind: 'blocked', error: result.reason }
    case 'interrupted':
      return {
        kind: 'interrupted',
        error: result.reason,
        ...(result.waitMs === undefined ? {} : { waitMs: result.waitMs }),
      }
    case 'timeout':
    case 'failed':
      return { kind: 'failed', statusCode: null, snippet: null, error: result.reason }
  }
}
