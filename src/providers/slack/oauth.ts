import { z } from 'zod'
import type { CallApp } from '../../core/provider.ts'
import { apiFault, safeWord } from './answers.ts'
import { parsedJson } from './json.ts'

/** What the bot may do; each is one that a feature here needs. */
export const SCOPES = [
  'app_mentions:read',
  'channels:history',
  'groups:history',
  'im:history',
  'chat:write',
  'chat:write.public',
  'commands',
  'incoming-webhook',
] as const

/** Slack's consent page (OAuth v2). It lies on the host of the API. `redirectUri` must be https and one of the app's own. */
export function authorizeUrl(options: {
  readonly apiUrl: string
  readonly clientId: string
  readonly redirectUri: string
  readonly state: string
}): string {
  const url = new URL('/oauth/v2/authorize', options.apiUrl)
  url.searchParams.set('client_id', options.clientId)
  // Slack's scopes are separated by commas, not by spaces as in the standard.
  url.searchParams.set('scope', SCOPES.join(','))
  url.searchParams.set('redirect_uri', options.redirectUri)
  url.searchParams.set('state', options.state)
  return url.href
}

interface AppClient {
  /** With the slash at its end. */
  readonly apiUrl: string
  readonly clientId: string
  readonly clientSecret: string
}

export interface SlackInstalled {
  /** null: it was installed for a whole Enterprise org. */
  readonly teamId: string | null
  readonly teamName: string | null
  readonly enterpriseId: string | null
  readonly isEnterprise: boolean
  readonly appId: string
  readonly botUserId: string
  readonly botToken: string
  /** null: the app's tokens do not rotate. */
  readonly refreshToken: string | null
  readonly expiresInS: number | null
  /** Those that were granted. */
  readonly scopes: readonly string[]
  /** Of the channel that was chosen on the consent page. */
  readonly webhook: {
    readonly channel: string
    readonly channelId: string
    readonly url: string
  } | null
}

export type ExchangeResult =
  | { readonly ok: true; readonly installed: SlackInstalled }
  | {
      readonly ok: false
      /** Slack's word; `unreachable` and `invalid_answer` are ours. */
      readonly error: string
      /** For the person who installs: what happened and what to do. */
      readonly reason: string
    }

const named = z.object({ id: z.string().min(1), name: z.string().nullish() }).nullish()
const tokens = {
  ok: z.literal(true),
  access_token: z.string().min(1),
  refresh_token: z.string().min(1).nullish(),
  expires_in: z.number().positive().nullish(),
}
const installedAnswer = z.object({
  ...tokens,
  token_type: z.literal('bot'),
  scope: z.string(),
  bot_user_id: z.string().min(1),
  app_id: z.string().min(1),
  team: named,
  enterprise: named,
  is_enterprise_install: z.boolean().default(false),
  incoming_webhook: z
    .object({ channel: z.string(), channel_id: z.string(), url: z.url() })
    .nullish(),
})
const refreshedAnswer = z.object(tokens)
const refusal = z.object({ ok: z.literal(false), error: z.string() })

const AGAIN = 'Start the installation again.'
const OPERATORS = 'Tell the operator of this server: the settings of the Slack app are wrong.'

const EXCHANGE_REASONS: ReadonlyMap<string, string> = new Map([
  ['invalid_code', `The installation took too long, or was opened twice. ${AGAIN}`],
  ['code_already_used', `This installation was finished already. ${AGAIN}`],
  ['code_expired', `The installation took longer than ten minutes. ${AGAIN}`],
  ['access_denied', `The installation was not allowed in Slack. ${AGAIN}`],
  ['bad_redirect_uri', `Slack does not know the address of this server. ${OPERATORS}`],
  ['invalid_client_id', `Slack does not know the app. ${OPERATORS}`],
  ['bad_client_secret', `Slack refuses the app’s secret. ${OPERATORS}`],
  ['invalid_scope', `The Slack app lacks a permission it asks for. ${OPERATORS}`],
  ['invalid_team_for_non_distributed_app', `The Slack app is of another workspace. ${OPERATORS}`],
])

/** Turns the code of a consent into tokens (`oauth.v2.access`). A code is good once, for ten minutes. */
export async function exchangeCode(
  call: CallApp,
  client: AppClient & { readonly code: string; readonly redirectUri: string },
): Promise<ExchangeResult> {
  const answer = await ask(call, client, {
    code: client.code,
    redirect_uri: client.redirectUri,
  })
  if (answer.kind === 'unreachable') {
    return { ok: false, error: 'unreachable', reason: `${answer.reason} ${AGAIN}` }
  }
  if (answer.kind === 'refused') {
    const reason = exchangeReason(answer.error)
    return { ok: false, error: answer.error, reason }
  }
  const read = installedAnswer.safeParse(answer.body)
  if (!read.success) {
    const member = read.error.issues[0]?.path.join('.') ?? ''
    const reason = `Slack answered without what a bot needs${member === '' ? '' : ` (${member})`}. ${OPERATORS}`
    return { ok: false, error: 'invalid_answer', reason }
  }
  return { ok: true, installed: toInstalled(read.data) }
}

/** What an `error` means to whoever installs: of the exchange, or of the way back from the consent page. */
export function exchangeReason(error: string): string {
  const word = safeWord(error)
  return EXCHANGE_REASONS.get(word) ?? `Slack refused the installation (${word}). ${AGAIN}`
}

function toInstalled(said: z.infer<typeof installedAnswer>): SlackInstalled {
  const hook = said.incoming_webhook
  return {
    teamId: said.team?.id ?? null,
    teamName: said.team?.name ?? null,
    enterpriseId: said.enterprise?.id ?? null,
    isEnterprise: said.is_enterprise_install,
    appId: said.app_id,
    botUserId: said.bot_user_id,
    botToken: said.access_token,
    refreshToken: said.refresh_token ?? null,
    expiresInS: said.expires_in ?? null,
    scopes: said.scope.split(',').filter((scope) => scope !== ''),
    webhook: hook ? { channel: hook.channel, channelId: hook.channel_id, url: hook.url } : null,
  }
}

export type RefreshResult =
  | {
      readonly ok: true
      readonly botToken: string
      /** The one used is revoked soon after. */
      readonly refreshToken: string
      readonly expiresInS: number | null
    }
  | {
      readonly ok: false
      /** Asking again will not help: somebody has to install the app again. */
      readonly isFinal: boolean
      readonly reason: string
    }

/** What is not here is trouble of Slack, or of the operator's app: the refresh token may be good all the same. */
const FINAL_REFUSALS = new Set([
  'invalid_refresh_token',
  'token_revoked',
  'token_expired',
  'invalid_auth',
  'account_inactive',
])

/** A new pair of tokens for a refresh token, which is good once: callers see to it that one asks at a time. */
export async function refresh(
  call: CallApp,
  client: AppClient & { readonly refreshToken: string },
): Promise<RefreshResult> {
  const answer = await ask(call, client, {
    grant_type: 'refresh_token',
    refresh_token: client.refreshToken,
  })
  if (answer.kind === 'unreachable') return { ok: false, isFinal: false, reason: answer.reason }
  if (answer.kind === 'refused') {
    return FINAL_REFUSALS.has(answer.error)
      ? { ok: false, isFinal: true, reason: RENEWAL_REFUSED }
      : { ok: false, isFinal: false, reason: refreshReason(answer.error) }
  }
  const read = refreshedAnswer.safeParse(answer.body)
  if (!read.success) return { ok: false, isFinal: false, reason: NOT_ITS_WORDS }
  return {
    ok: true,
    botToken: read.data.access_token,
    refreshToken: read.data.refresh_token ?? client.refreshToken,
    expiresInS: read.data.expires_in ?? null,
  }
}

const RENEWAL_REFUSED = 'Slack does not renew the bot token any more: install the app again.'
const NOT_ITS_WORDS = 'Slack answered, but not in the words of its API.'

function refreshReason(error: string): string {
  return EXCHANGE_REASONS.get(error) ?? `${apiFault(error).reason} (Slack says ${error}.)`
}

type Asked =
  | { readonly kind: 'unreachable'; readonly reason: string }
  | { readonly kind: 'refused'; readonly error: string }
  | { readonly kind: 'answered'; readonly body: unknown }

async function ask(call: CallApp, client: AppClient, form: Record<string, string>): Promise<Asked> {
  const body = new URLSearchParams({
    client_id: client.clientId,
    client_secret: client.clientSecret,
    ...form,
  })
  const answer = await call({
    method: 'POST',
    url: `${client.apiUrl}oauth.v2.access`,
    headers: ['content-type', 'application/x-www-form-urlencoded'],
    body: body.toString(),
  })
  if (!answer.isAnswer) {
    return { kind: 'unreachable', reason: `Slack could not be reached: ${answer.reason}.` }
  }
  const read = parsedJson(answer.body)
  const refused = refusal.safeParse(read)
  if (refused.success) return { kind: 'refused', error: safeWord(refused.data.error) }
  // What limits and outages answer is a page, not JSON.
  return answer.statusCode === 200 && read !== undefined
    ? { kind: 'answered', body: read }
    : { kind: 'unreachable', reason: `Slack answered HTTP ${answer.statusCode}.` }
}
