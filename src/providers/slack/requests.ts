import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { isSameText } from '../../security/signature.ts'
import { ignored, invalid, type SlackInstallation, slackId } from './installation.ts'
import { parsedJson } from './json.ts'

const TOLERANCE_S = 300

/**
 * Whether Slack signed a request (v0): the hex HMAC-SHA256 of `v0:<timestamp>:<raw body>`, and a time within 300 s, both ways.
 * The same signature again within that time is a repetition, which only its ids tell.
 *
 * @param headers with lower-case names
 * @param rawBody before any parsing
 */
export function isSlackSignature(
  signingSecret: string,
  headers: Readonly<Record<string, string | undefined>>,
  rawBody: string | Buffer,
  nowMs: number,
): boolean {
  const timestamp = headers['x-slack-request-timestamp'] ?? ''
  const signature = headers['x-slack-signature'] ?? ''
  // Under an empty key anyone can sign.
  if (signingSecret === '' || !/^\d{1,12}$/.test(timestamp)) return false
  if (Math.abs(nowMs / 1000 - Number(timestamp)) > TOLERANCE_S) return false
  const mac = createHmac('sha256', signingSecret).update(`v0:${timestamp}:`).update(rawBody)
  return isSameText(signature, `v0=${mac.digest('hex')}`)
}

export type SlackCommand =
  | (SlackInstallation & {
      readonly kind: 'command'
      readonly channel: string
      readonly userId: string
      /** With its slash. */
      readonly command: string
      readonly text: string
      /** Takes five answers in 30 minutes; see `isResponseUrl`. */
      readonly responseUrl: string
      /** The same again is the same command. */
      readonly triggerId: string
    })
  /** Slack tries the certificate: any 200 will do. */
  | { readonly kind: 'sslCheck' }
  | { readonly kind: 'invalid'; readonly reason: string }

const commandForm = z.object({
  team_id: slackId.nullish(),
  enterprise_id: slackId.nullish(),
  api_app_id: slackId,
  channel_id: slackId,
  user_id: slackId,
  command: z.string().regex(/^\/./),
  text: z.string().default(''),
  response_url: z.url(),
  trigger_id: slackId,
})

/** Reads a slash command, whose signature holds: a form. */
export function readSlackCommand(rawBody: string): SlackCommand {
  const form = Object.fromEntries(new URLSearchParams(rawBody))
  if (form.ssl_check === '1') return { kind: 'sslCheck' }
  const read = commandForm.safeParse(form)
  if (!read.success) return invalid('is no slash command', read.error)
  const said = read.data
  return {
    kind: 'command',
    teamId: said.team_id ?? null,
    enterpriseId: said.enterprise_id ?? null,
    appId: said.api_app_id,
    channel: said.channel_id,
    userId: said.user_id,
    command: said.command,
    text: said.text,
    responseUrl: said.response_url,
    triggerId: said.trigger_id,
  }
}

export type SlackInteraction =
  | (SlackInstallation & {
      readonly kind: 'action'
      readonly userId: string
      /** The clicker's own workspace, in channels that several share. */
      readonly userTeamId: string | null
      /** Of the button that was clicked. */
      readonly actionId: string
      readonly value: string | null
      readonly responseUrl: string | null
      readonly channel: string | null
      /** Of the message with the button. */
      readonly messageTs: string | null
      /** The `ts` of the message that its thread hangs on; null: it stands in none. */
      readonly thread: string | null
      /** Of that message; null: Slack does not send those along that one person alone sees. */
      readonly blocks: readonly Readonly<Record<string, unknown>>[] | null
      readonly triggerId: string
    })
  | { readonly kind: 'ignored'; readonly reason: string }
  | { readonly kind: 'invalid'; readonly reason: string }

const named = z.object({ id: slackId })
const blockActions = z.object({
  team: named.nullish(),
  enterprise: named.nullish(),
  api_app_id: slackId,
  user: named.extend({ team_id: slackId.nullish() }),
  actions: z.tuple(
    [z.object({ action_id: slackId, value: z.string().max(2000).optional() })],
    z.unknown(),
  ),
  response_url: z.url().optional(),
  channel: named.optional(),
  message: z
    .object({
      ts: slackId,
      thread_ts: slackId.nullish(),
      blocks: z
        .array(z.looseObject({ type: z.string() }))
        .max(50)
        .nullish(),
    })
    .optional(),
  container: z
    .object({
      channel_id: slackId.optional(),
      message_ts: slackId.optional(),
      thread_ts: slackId.nullish(),
    })
    .optional(),
  trigger_id: slackId,
})

/** Reads a click on a button, whose signature holds: a form whose field `payload` is JSON. */
export function readSlackInteraction(rawBody: string): SlackInteraction {
  const payload = parsedJson(new URLSearchParams(rawBody).get('payload') ?? '')
  const kind = z.object({ type: z.string() }).safeParse(payload)
  if (!kind.success) return invalid('is no interaction', kind.error)
  if (kind.data.type !== 'block_actions') return ignored('an interaction of another type')
  const read = blockActions.safeParse(payload)
  if (!read.success) return invalid('is no click on a button', read.error)
  const click = read.data
  const [action] = click.actions
  return {
    kind: 'action',
    teamId: click.team?.id ?? null,
    enterpriseId: click.enterprise?.id ?? null,
    appId: click.api_app_id,
    userId: click.user.id,
    userTeamId: click.user.team_id ?? null,
    actionId: action.action_id,
    value: action.value ?? null,
    responseUrl: click.response_url ?? null,
    channel: click.channel?.id ?? click.container?.channel_id ?? null,
    messageTs: click.message?.ts ?? click.container?.message_ts ?? null,
    thread: click.message?.thread_ts ?? click.container?.thread_ts ?? null,
    blocks: click.message?.blocks ?? null,
    triggerId: click.trigger_id,
  }
}

/** Whether answers to a command or a click may go to this URL: it came with the request, and is Slack's all the same. */
export function isResponseUrl(url: string, webhookHosts: readonly string[]): boolean {
  return URL.canParse(url) && webhookHosts.includes(new URL(url).hostname)
}
