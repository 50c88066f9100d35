import { setTimeout as sleep } from 'node:timers/promises'
import { signV0 } from './signature.ts'

/** Why Slack tries once more, in the words of `X-Slack-Retry-Reason`. */
export type RetryReason = 'http_timeout' | 'connection_failed' | 'http_error'

/** One request to the app, and what came of it. */
export interface Sent {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** null: there was no answer in time. */
  readonly status: number | null
  readonly answer: string
  readonly answerHeaders: Headers
  readonly durationMs: number
  /** null: the app acknowledged it. */
  readonly failure: RetryReason | null
}

export interface SignatureOptions {
  /** Seconds; now unless told otherwise. */
  readonly timestampS?: number
  /** In place of the right one. */
  readonly signature?: string
}

export interface EventOptions extends SignatureOptions {
  /** The same event three times, though the first was acknowledged: one after the other, or all at once. */
  readonly sendTwiceMore?: boolean | 'at once'
}

export interface Sender {
  readonly send: (
    url: string,
    body: string,
    headers: Readonly<Record<string, string>>,
    options?: SignatureOptions,
  ) => Promise<Sent>
  /** @param body of the event: JSON */
  readonly sendEvent: (url: string, body: string, options?: EventOptions) => Promise<Sent[]>
}

export interface SenderOptions {
  readonly signingSecret: string
  readonly now: () => number
  /** How long the app has to answer. */
  readonly ackTimeoutMs: number
  /** Before the first, the second and the third retry. */
  readonly retryDelaysMs: readonly number[]
  /** Ends what is on its way. */
  readonly signal: AbortSignal
  readonly onSent: (sent: Sent) => void
}

const JSON_TYPE = { 'content-type': 'application/json' }

/** What Slack sends to the app: signed, with 3 s to answer; an event comes up to three times more. [Slack, Events API] */
export function makeSender(options: SenderOptions): Sender {
  const send: Sender['send'] = async (url, body, headers, { timestampS, signature } = {}) => {
    const atS = timestampS ?? Math.floor(options.now() / 1000)
    const sent = await exchange(options, url, body, {
      'user-agent': 'Slackbot 1.0 (+https://api.slack.com/robots)',
      ...headers,
      'x-slack-request-timestamp': String(atS),
      'x-slack-signature': signature ?? signV0(options.signingSecret, atS, body),
    })
    options.onSent(sent)
    return sent
  }

  const retry = async (
    url: string,
    body: string,
    number: number,
    reason: RetryReason,
    event: EventOptions,
  ) => {
    const headers = { 'x-slack-retry-num': String(number), 'x-slack-retry-reason': reason }
    return await send(url, body, { ...JSON_TYPE, ...headers }, event)
  }

  const copies = async (url: string, body: string, event: EventOptions) => {
    const again = (number: number) => retry(url, body, number, 'http_timeout', event)
    if (event.sendTwiceMore === 'at once') {
      return await Promise.all([send(url, body, JSON_TYPE, event), again(1), again(2)])
    }
    return [await send(url, body, JSON_TYPE, event), await again(1), await again(2)]
  }

  return {
    send,
    sendEvent: async (url, body, event = {}) => {
      if (event.sendTwiceMore) return await copies(url, body, event)
      let last = await send(url, body, JSON_TYPE, event)
      const all = [last]
      for (const [index, delayMs] of options.retryDelaysMs.entries()) {
        if (last.failure === null || isNoRetry(last) || options.signal.aborted) break
        await sleep(delayMs)
        last = await retry(url, body, index + 1, last.failure, event)
        all.push(last)
      }
      return all
    },
  }
}

/** [Slack, Events API: `x-slack-no-retry: 1` on an answer that is no 200 suppresses retries] */
function isNoRetry({ answerHeaders }: Sent): boolean {
  return answerHeaders.get('x-slack-no-retry') === '1'
}

/** A redirect counts as a failure: nothing of ours answers with one. */
async function exchange(
  { ackTimeoutMs, signal }: SenderOptions,
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Promise<Sent> {
  const startedMs = performance.now()
  const deadline = AbortSignal.timeout(ackTimeoutMs)
  const ended = (answer: Pick<Sent, 'status' | 'answer' | 'answerHeaders' | 'failure'>): Sent => ({
    url,
    headers,
    body,
    durationMs: performance.now() - startedMs,
    ...answer,
  })
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers,
      body,
      redirect: 'manual',
      signal: AbortSignal.any([deadline, signal]),
    })
    const answer = await response.text()
    const { status, headers: answerHeaders } = response
    return ended({ status, answer, answerHeaders, failure: response.ok ? null : 'http_error' })
  } catch (error) {
    const failure = deadline.aborted ? 'http_timeout' : 'connection_failed'
    return ended({ status: null, answer: String(error), answerHeaders: new Headers(), failure })
  }
}
