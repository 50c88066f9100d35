import { type Answer, toSnippet } from '../core/answer.ts'
import type { Outcome } from '../core/delivery.ts'
import type { EventRecord } from '../core/event.ts'
import { withoutContent } from '../core/event-types.ts'
import type { OutgoingMessage, Sender } from '../core/provider.ts'
import type { Redact } from '../core/redact.ts'
import type { Egress } from '../egress/egress.ts'
import type { EgressResult } from '../egress/exchange.ts'
import type { Network } from '../egress/reach.ts'
import type { UrlVerdict } from '../egress/url.ts'
import type { Sign } from '../security/signature.ts'
import type { ClaimedRow } from './claim.ts'

/** A subscription as a try needs it: opened, parsed, ready to send. */
export interface LaneConfig {
  readonly url: UrlVerdict
  readonly network: Network
  readonly integrationId: string
  /** Name, value, … as the org set them, then those of its app. */
  readonly headers: readonly string[]
  readonly sign: Sign
  readonly scheduleS: readonly number[]
  readonly maxAgeS: number | null
  readonly content: 'thin' | 'full'
  readonly sender: Pick<Sender, 'render' | 'judge' | 'threadOf' | 'channel' | 'maxAnswerBytes'>
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

/** A conversation in a channel of an app. */
export interface ThreadPlace {
  readonly orgId: string
  readonly integrationId: string
  readonly channel: string
  readonly conversationId: string
}

/** Which thread of a channel a conversation is. */
export interface Threads {
  readonly find: (place: ThreadPlace) => Promise<string | null>
  /** Where it has one by now, that one stays. */
  readonly remember: (place: ThreadPlace, thread: string) => Promise<void>
}

interface AttemptDeps {
  readonly threads: Threads
  /** A message was delivered and its thread could not be written down: the conversation goes on in another. */
  readonly onThreadLost: (place: ThreadPlace, error: unknown) => void
  readonly send: Egress['send']
  readonly nowMs: () => number
  readonly timeoutMs: number
  readonly userAgent: string
}

/** One try: build, sign, send, judge. Never throws for what the endpoint did. An event that is missing is past its retention. */
export function makeAttempt(deps: AttemptDeps) {
  const { send, nowMs, timeoutMs, userAgent } = deps

  async function remember(place: ThreadPlace, thread: string | null): Promise<void> {
    if (thread === null) return
    await deps.threads.remember(place, thread).catch((error: unknown) => {
      deps.onThreadLost(place, error)
    })
  }

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

    const { sender } = lane
    const place = placeOf(event, lane)
    const thread = place === null ? null : await deps.threads.find(place)
    const message = sender.render(lane.content === 'full' ? event : withoutDetail(event), thread)
    const result = await send(lane.url.target, lane.network, {
      method: 'POST',
      headers: headersOf(row, event.type, lane, message, Math.floor(nowMs() / 1000), userAgent),
      body: message.body,
      timeoutMs,
      maxBytes: sender.maxAnswerBytes,
      startByMs,
      signal,
    })
    if (result.kind !== 'answer') return tried(withoutAnswer(result))
    const answer = toAnswer(result, lane.redact)
    const outcome = sender.judge(answer, nowMs())
    if (place !== null && thread === null && outcome.kind === 'delivered') {
      await remember(place, sender.threadOf(answer))
    }
    return tried(outcome)
  }
}

function placeOf(event: EventRecord, { sender, integrationId }: LaneConfig): ThreadPlace | null {
  const { channel } = sender
  const { orgId, conversationId } = event
  if (channel === null || conversationId === null) return null
  return { orgId, integrationId, channel, conversationId }
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

type EndpointAnswer = Extract<EgressResult, { kind: 'answer' }>

function toAnswer(result: EndpointAnswer, redact: Redact): Answer {
  const { statusCode, headers, body, isCut, encoding } = result
  const retryAfter = headers['retry-after']
  return {
    statusCode,
    retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
    snippet:
      encoding === null ? snippetOf(body, isCut, redact) : `(encoded: ${redact.text(encoding)})`,
    body,
  }
}

function withoutAnswer(result: Exclude<EgressResult, EndpointAnswer>): Outcome {
  switch (result.kind) {
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
