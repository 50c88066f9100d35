import { z } from 'zod'
import { ignored, invalid, type SlackInstallation, slackId } from './installation.ts'
import { parsedJson } from './json.ts'

/** A message of a person. Slack sends one that mentions the bot twice, as two events: `channel` and `ts` name the message. */
export interface SlackSaid extends SlackInstallation {
  readonly kind: 'said'
  /** The same again is the same event. */
  readonly eventId: string
  readonly channel: string
  /** Of the message; unique in its channel. */
  readonly ts: string
  /** The `ts` of the message that begins its thread: of another, or its own. */
  readonly thread: string
  readonly isThreadReply: boolean
  /** In the conversation with the bot alone. */
  readonly isDirect: boolean
  readonly isMention: boolean
  readonly userId: string
  /** As Slack writes it: see `toPlain`. */
  readonly text: string
  readonly botUserId: string | null
}

export type SlackEvent =
  /** Slack tries the address: it wants `challenge` back. */
  | { readonly kind: 'challenge'; readonly challenge: string }
  | SlackSaid
  | (SlackInstallation & {
      readonly kind: 'uninstalled'
      readonly eventId: string
      readonly occurredAtS: number
    })
  | (SlackInstallation & {
      readonly kind: 'tokensRevoked'
      readonly eventId: string
      readonly occurredAtS: number
      /** Of the bots whose tokens they were; one at least. */
      readonly botUserIds: readonly string[]
    })
  /** Slack held events back: more than 30,000 in an hour. */
  | { readonly kind: 'rateLimited'; readonly teamId: string | null; readonly appId: string }
  /** Acknowledged, and nothing to do. */
  | { readonly kind: 'ignored'; readonly reason: string }
  | { readonly kind: 'invalid'; readonly reason: string }

const envelope = z.discriminatedUnion('type', [
  z.object({ type: z.literal('url_verification'), challenge: z.string() }),
  z.object({
    type: z.literal('app_rate_limited'),
    team_id: slackId.nullish(),
    api_app_id: slackId,
  }),
  z.object({
    type: z.literal('event_callback'),
    team_id: slackId.nullish(),
    enterprise_id: slackId.nullish(),
    api_app_id: slackId,
    event_id: slackId,
    event_time: z.number(),
    event: z.looseObject({ type: z.string() }),
    authorizations: z
      .array(
        z.object({
          team_id: slackId.nullish(),
          enterprise_id: slackId.nullish(),
          user_id: slackId.nullish(),
          is_bot: z.boolean().optional(),
        }),
      )
      .nullish(),
  }),
])
type Callback = Extract<z.infer<typeof envelope>, { type: 'event_callback' }>

const messageEvent = z.object({
  type: z.string(),
  subtype: z.string().optional(),
  channel: slackId,
  channel_type: z.string().optional(),
  ts: slackId,
  thread_ts: slackId.optional(),
  user: slackId.nullish(),
  /** The author's own workspace, in channels that several share. */
  user_team: slackId.nullish(),
  source_team: slackId.nullish(),
  text: z.string().nullish(),
  bot_id: z.unknown().optional(),
  bot_profile: z.unknown().optional(),
})

const revokedEvent = z.object({ tokens: z.object({ bot: z.array(z.string()).optional() }) })

/** Reads a request of the Events API, whose signature holds. */
export function readSlackEvent(rawBody: string): SlackEvent {
  const read = envelope.safeParse(parsedJson(rawBody))
  if (!read.success) return invalid('is not a request of Slack’s Events API', read.error)
  const request = read.data
  switch (request.type) {
    case 'url_verification':
      return { kind: 'challenge', challenge: request.challenge }
    case 'app_rate_limited':
      return { kind: 'rateLimited', teamId: request.team_id ?? null, appId: request.api_app_id }
    case 'event_callback':
      return readCallback(request)
  }
}

function readCallback(callback: Callback): SlackEvent {
  const { event_id: eventId, event_time: occurredAtS } = callback
  switch (callback.event.type) {
    case 'app_uninstalled':
      return { kind: 'uninstalled', ...installationOf(callback), eventId, occurredAtS }
    case 'tokens_revoked': {
      const revoked = revokedEvent.safeParse(callback.event)
      if (!revoked.success) return invalid('is no tokens_revoked event', revoked.error)
      const botUserIds = revoked.data.tokens.bot ?? []
      return botUserIds.length > 0
        ? { kind: 'tokensRevoked', ...installationOf(callback), eventId, occurredAtS, botUserIds }
        : ignored('only tokens of users were revoked')
    }
    case 'app_mention':
    case 'message':
      return readMessage(callback)
    default:
      return ignored('an event of another type')
  }
}

/** The first authorization is the installation that Slack sends the event to; in a shared channel `team_id` may be the guest's. */
function installationOf(callback: Callback): SlackInstallation {
  const installed = callback.authorizations?.[0]
  return {
    teamId: installed?.team_id ?? callback.team_id ?? null,
    enterpriseId: installed?.enterprise_id ?? callback.enterprise_id ?? null,
    appId: callback.api_app_id,
  }
}

/** Of messages with a subtype only these two are new and a person's own. */
const SPOKEN = new Set(['thread_broadcast', 'file_share'])

function readMessage(callback: Callback): SlackEvent {
  const read = messageEvent.safeParse(callback.event)
  if (!read.success) return invalid('is no message event', read.error)
  const event = read.data
  const bot = callback.authorizations?.find((entry) => entry.is_bot !== false)
  const botUserId = bot?.user_id ?? null
  const userId = event.user ?? null
  if (event.subtype !== undefined && !SPOKEN.has(event.subtype)) {
    return ignored('a message that nobody wrote just now')
  }
  // A bot that answers bots, itself among them, never stops.
  const isBots = (event.bot_id ?? event.bot_profile ?? null) !== null
  if (isBots || userId === null || userId === botUserId || userId === 'USLACKBOT') {
    return ignored('a message of a bot')
  }
  const { teamId } = installationOf(callback)
  const home = event.user_team ?? event.source_team ?? teamId
  // Whoever a shared channel brings along does not belong to the org whose assistant and tools these are.
  if (teamId !== null && home !== teamId) return ignored('a message from another workspace')
  const thread = event.thread_ts ?? event.ts
  const text = event.text ?? ''
  return {
    kind: 'said',
    ...installationOf(callback),
    eventId: callback.event_id,
    channel: event.channel,
    ts: event.ts,
    thread,
    isThreadReply: thread !== event.ts,
    isDirect: event.channel_type === 'im' || event.channel.startsWith('D'),
    isMention: event.type === 'app_mention' || mentions(text, botUserId),
    userId,
    text,
    botUserId,
  }
}

function mentions(text: string, userId: string | null): boolean {
  return userId !== null && (text.includes(`<@${userId}>`) || text.includes(`<@${userId}|`))
}
