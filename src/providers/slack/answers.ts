import { z } from 'zod'
import { type Answer, judgeAnswer } from '../../core/answer.ts'
import type { Consequence, Outcome } from '../../core/delivery.ts'
import { retryAfterMs } from '../../core/schedule.ts'
import { parsedJson } from './json.ts'

/** What one of Slack's error words means. */
export interface SlackFault {
  /** null: Slack's trouble; it is tried again by the schedule. */
  readonly stops: Consequence['stops'] | null
  /** For an admin: what happened and what to do. */
  readonly reason: string
}

const stops = (what: SlackFault['stops'], reason: string): SlackFault => ({ stops: what, reason })
const passes = (reason: string) => stops(null, reason)
const ends = (reason: string) => stops('subscription', reason)
const disconnects = (reason: string) => stops('integration', reason)

const REMOVED = ends('The Slack webhook was removed: create a new one and paste its URL here.')
const NO_WORKSPACE = ends(
  'The Slack workspace is gone or disabled: create a webhook in another one and paste its URL here.',
)
const UNFIT = stops('delivery', 'Slack does not take this message as it is.')
const TROUBLE = passes('Slack has trouble of its own; later it may work.')

/** The plain-text bodies of incoming webhooks. */
export const WEBHOOK_FAULTS: ReadonlyMap<string, SlackFault> = new Map([
  ['invalid_payload', UNFIT],
  ['invalid_blocks', UNFIT],
  ['no_text', UNFIT],
  ['too_many_attachments', UNFIT],
  ['user_not_found', stops('delivery', 'Slack does not know the user whom the message is for.')],
  ['rollup_error', TROUBLE],
  ['invalid_token', ends('Slack refuses the webhook: create a new one and paste its URL here.')],
  [
    'action_prohibited',
    ends('An admin of the Slack workspace forbids this webhook to post: ask them to allow it.'),
  ],
  [
    'posting_to_general_channel_denied',
    ends('This webhook may not post to #general: create one for another channel.'),
  ],
  ['channel_not_found', ends('The Slack channel is gone: create a webhook for another one.')],
  [
    'channel_is_archived',
    ends('The Slack channel is archived: bring it back, or create a webhook for another one.'),
  ],
  ['no_service', REMOVED],
  ['no_service_id', REMOVED],
  ['no_active_hooks', REMOVED],
  ['no_team', NO_WORKSPACE],
  ['team_disabled', NO_WORKSPACE],
])

const REFUSED_TOKEN = disconnects(
  'Slack refuses the bot token: install the app again, or paste its new bot token.',
)
const RESTRICTED = ends(
  'The Slack workspace does not let this app post to the channel: ask an admin of it, or choose another channel.',
)

/** The `error` of the Web API's answers. */
export const API_FAULTS: ReadonlyMap<string, SlackFault> = new Map([
  ['internal_error', TROUBLE],
  ['fatal_error', TROUBLE],
  ['service_unavailable', TROUBLE],
  ['request_timeout', TROUBLE],
  ['ratelimited', passes('Slack asks for fewer messages.')],
  ['rate_limited', passes('Slack asks for fewer messages.')],
  ['token_expired', stops('token', 'The bot token has run out and has to be renewed.')],
  ['invalid_auth', REFUSED_TOKEN],
  [
    'not_authed',
    disconnects('There is no bot token: install the app again, or paste its bot token (xoxb-…).'),
  ],
  ['token_revoked', disconnects('The app was removed from the Slack workspace: install it again.')],
  [
    'account_inactive',
    disconnects('The Slack workspace or the bot’s account is gone: install the app again.'),
  ],
  [
    'missing_scope',
    disconnects('The Slack app lacks a permission: install it again and allow all it asks for.'),
  ],
  [
    'org_login_required',
    disconnects('The Slack workspace is moving to an Enterprise org: install the app again there.'),
  ],
  [
    'access_denied',
    disconnects('Slack denies the app access: ask an admin of the workspace to approve it.'),
  ],
  [
    'channel_not_found',
    ends('The Slack channel is gone, or private: invite the app to it, or choose another one.'),
  ],
  [
    'not_in_channel',
    ends('The app is not in the Slack channel: write /invite @ and its name there.'),
  ],
  ['is_archived', ends('The Slack channel is archived: bring it back, or choose another one.')],
  ['no_text', UNFIT],
  ['invalid_blocks', UNFIT],
  ['invalid_blocks_format', UNFIT],
  ['msg_blocks_too_long', UNFIT],
  ['msg_too_long', UNFIT],
  ['too_many_attachments', UNFIT],
  ['markdown_text_conflict', UNFIT],
  ['message_limit_exceeded', UNFIT],
])

/** What an error of the Web API means; of one that is not known, that it is none of the known. */
export function apiFault(error: string): SlackFault {
  if (error.startsWith('restricted_action')) return RESTRICTED
  return API_FAULTS.get(error) ?? passes('Slack refuses the request.')
}

/** Slack's word as it may stand in the history; what is none is not repeated. */
export function safeWord(error: string): string {
  return /^[a-z0-9_]{1,64}$/.test(error) ? error : 'an unknown error'
}

/** Judges an incoming webhook: its text says more than its status. */
export function judgeWebhook(answer: Answer, nowMs: number): Outcome {
  const { statusCode } = answer
  const text = answer.body.toString().trim()
  const fault = WEBHOOK_FAULTS.get(text)
  if (statusCode === 429) return judgeAnswer(answer, nowMs)
  if (fault !== undefined) return refused(answer, text, fault)
  // A page of HTML would be somebody else's on the way.
  const isWord = /^[a-z_]{0,64}$/.test(text)
  if (isWord && [403, 404, 410].includes(statusCode)) {
    return refused(answer, text || `HTTP ${statusCode}`, REMOVED)
  }
  const outcome = unended(judgeAnswer(answer, nowMs))
  return outcome.kind === 'delivered' && text !== 'ok' && text !== ''
    ? failed(answer, `HTTP ${statusCode}, but Slack does not say ok`)
    : outcome
}

const reply = z.object({ ok: z.boolean(), error: z.string().optional() })

/** Judges `chat.postMessage`: the body says how it went, whatever the status. */
export function judgeApi(answer: Answer, nowMs: number): Outcome {
  const { statusCode, snippet } = answer
  const said = reply.safeParse(parsedJson(answer.body.toString()))
  const outcome = unended(judgeAnswer(answer, nowMs))
  if (statusCode === 429) return outcome
  if (!said.success) {
    return outcome.kind === 'delivered'
      ? failed(answer, `HTTP ${statusCode}, but not in the words of Slack’s API`)
      : outcome
  }
  if (said.data.ok) return outcome
  const word = safeWord(said.data.error ?? '')
  if (word === 'ratelimited' || word === 'rate_limited') {
    const waitMs = retryAfterMs(answer.retryAfter, nowMs)
    const error = `${word}: ${apiFault(word).reason}`
    return { kind: 'throttled', statusCode, snippet, error, retryAfterMs: waitMs }
  }
  return refused(answer, word, apiFault(word))
}

/** How long a token is being renewed, about. */
const RENEWAL_MS = 30_000

function refused(answer: Answer, word: string, fault: SlackFault): Outcome {
  const error = `${word}: ${fault.reason}`
  if (fault.stops === null) return failed(answer, error)
  const consequence = { stops: fault.stops, reason: fault.reason }
  return fault.stops === 'token'
    ? { kind: 'interrupted', error, waitMs: RENEWAL_MS, consequence }
    : { ...failed(answer, error), consequence }
}

function failed({ statusCode, snippet }: Answer, error: string) {
  return { kind: 'failed', statusCode, snippet, error } as const
}

/** Slack says in words that something is over; a bare 410 is somebody else's. */
function unended(outcome: Outcome): Outcome {
  return outcome.kind === 'gone' ? { ...outcome, kind: 'failed' } : outcome
}

const posted = z.object({
  ts: z.string().min(1),
  message: z.object({ thread_ts: z.string().min(1).optional() }).optional(),
})

/** The thread that a posted message belongs to; a message in none begins its own. */
export function threadOfPosted(answer: Answer): string | null {
  const said = posted.safeParse(parsedJson(answer.body.toString()))
  return said.success ? (said.data.message?.thread_ts ?? said.data.ts) : null
}
