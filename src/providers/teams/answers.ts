import { z } from 'zod'
import { type Answer, judgeAnswer } from '../../core/answer.ts'
import type { Outcome } from '../../core/delivery.ts'

const NEW_URL = 'and paste its URL here'

/** The codes of a workflow that will not work again as it is, and what a person can do. */
export const TEAMS_ENDINGS: Readonly<Record<string, string>> = {
  WorkflowTriggerIsNotEnabled: `The Teams workflow is switched off or was deleted: switch it on in Power Automate, or create a new one ${NEW_URL}.`,
  WorkflowNotFound: `The Teams workflow was deleted: create a new one ${NEW_URL}.`,
  DirectApiAuthorizationRequired: `The Teams workflow takes requests from users of its own tenant only: set "Who can trigger the flow?" to Anyone, save it ${NEW_URL}.`,
}
const BAD_SIGNATURE = `Teams does not take the signature in the workflow's URL: copy the URL again, all of it, ${NEW_URL.replace('its URL', 'it')}.`

const TOO_LARGE = {
  consequence: { stops: 'delivery', reason: 'the card is over what Teams takes (28 KB)' },
} as const

const errorBody = z.object({ error: z.object({ code: z.string() }) })

/**
 * What a workflow's answer means. 202 says that the card is queued, no more. A 200 may carry the failure of what stands behind
 * it as text, as the retired connectors' did.
 */
export function judgeTeams(answer: Answer, nowMs: number): Outcome {
  const outcome = judgeAnswer(answer, nowMs)
  const text = answer.body.toString()
  if (outcome.kind === 'delivered') return judgeAccepted(answer, text) ?? outcome
  if (outcome.kind !== 'failed') return outcome
  const code = codeOf(text)
  const reason = endingOf(code, answer.statusCode)
  if (reason !== null) {
    const error = `${code ?? `HTTP ${answer.statusCode}`}: ${reason}`
    return { ...outcome, error, consequence: { stops: 'subscription', reason } }
  }
  return answer.statusCode === 413 || /request entity too large/i.test(text)
    ? {
        ...outcome,
        ...TOO_LARGE,
        error: `HTTP ${answer.statusCode}: ${TOO_LARGE.consequence.reason}`,
      }
    : outcome
}

function judgeAccepted({ statusCode, snippet }: Answer, text: string): Outcome | null {
  if (!text.includes('Webhook message delivery failed')) return null
  const status = /HTTP error (\d{3})/.exec(text)?.[1]
  const error = `HTTP ${statusCode}, but Teams says that it could not deliver the message${
    status === undefined ? '' : `: HTTP ${status}`
  }`
  return status === '429'
    ? { kind: 'throttled', statusCode, snippet, error, retryAfterMs: null }
    : { kind: 'failed', statusCode, snippet, error }
}

function endingOf(code: string | null, statusCode: number): string | null {
  if (code !== null && Object.hasOwn(TEAMS_ENDINGS, code)) return TEAMS_ENDINGS[code] ?? null
  return statusCode === 401 || code?.startsWith('InvalidAuthorization') === true
    ? BAD_SIGNATURE
    : null
}

/** The error's code, if it is one: what else stands there is not repeated. */
function codeOf(text: string): string | null {
  const parsed = errorBody.safeParse(parseJson(text))
  return parsed.success && /^[A-Za-z]{1,64}$/.test(parsed.data.error.code)
    ? parsed.data.error.code
    : null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // An answer need not be JSON, and may be cut.
    return null
  }
}
