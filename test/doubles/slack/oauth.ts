import { setTimeout as sleep } from 'node:timers/promises'
import { failure } from './chat.ts'
import { installApp, issueTokens, makeWebhook, randomText, TOKEN_LIFE_S } from './grants.ts'
import { type Call, type Fields, json, plain, type Reply } from './http.ts'
import type { World } from './world.ts'

/** [Slack, OAuth v2: a code lives 10 minutes] */
const CODE_LIFE_MS = 600_000

/** What the person at the consent page does. */
export interface Consent {
  readonly isGiven: boolean
  readonly teamId: string
  /** Where the incoming webhook is to post, which the page asks for when the app wants one. */
  readonly channelId: string
  readonly userId: string
}

/** One call of `oauth.v2.access` with a refresh token. */
export interface Refresh {
  readonly refreshToken: string
  readonly isOk: boolean
}

export interface OAuthOptions {
  /** null: nobody is at the consent page. */
  readonly consent: () => Consent | null
  readonly refreshDelayMs: () => number
  /** How long a refresh token that was used can be used again. */
  readonly refreshGraceMs: number
  readonly signal: AbortSignal
}

export interface OAuth {
  readonly authorize: (call: Call) => Reply
  readonly access: (call: Call) => Promise<Reply>
  readonly refreshes: readonly Refresh[]
}

interface Code {
  readonly redirectUri: string
  readonly scopes: readonly string[]
  readonly consent: Consent
  readonly issuedAtMs: number
  isUsed: boolean
}

/** Installing, and tokens that rotate. [Slack, OAuth v2; token rotation] */
export function makeOAuth(world: World, options: OAuthOptions): OAuth {
  const codes = new Map<string, Code>()
  const refreshes: Refresh[] = []
  return {
    refreshes,
    authorize: (call) => {
      const problem = authorizeProblem(world, call)
      if (problem !== null) return plain(400, problem)
      const consent = options.consent()
      if (consent === null) throw new Error('answerConsent(…) first: nobody is at the consent page')
      return answerConsent(world, codes, call.query, consent)
    },
    access: async (call) => {
      const form = new URLSearchParams(call.body)
      const problem = clientProblem(world, call, form)
      if (problem !== null) return failure(problem)
      const grantType = form.get('grant_type') ?? 'authorization_code'
      if (grantType === 'authorization_code') return exchange(world, codes, form, call)
      if (grantType !== 'refresh_token') return failure('invalid_grant_type')
      const reply = refresh(world, form, options.refreshGraceMs)
      refreshes.push({
        refreshToken: form.get('refresh_token') ?? '',
        isOk: reply !== null,
      })
      const delayMs = options.refreshDelayMs()
      if (delayMs > 0) await sleep(delayMs, undefined, { signal: options.signal })
      return reply === null ? failure('invalid_refresh_token') : json(reply)
    },
  }
}

/**
 * What the consent page says instead of asking. [Slack, OAuth v2: scopes are separated by commas; the redirect is HTTPS,
 * without a fragment, and one of the app's Redirect URLs or below one] HTTP on loopback is let through, for a test has no
 * certificate; a missing state is refused, which Slack leaves to the app.
 */
function authorizeProblem({ app }: World, { query }: Call): string | null {
  if (query.get('client_id') !== app.clientId) return 'invalid_client_id'
  const scope = query.get('scope') ?? ''
  if (scope === '') return 'no_scopes'
  if (!/^[a-z_:.-]+(,[a-z_:.-]+)*$/.test(scope)) return 'invalid_scope'
  if ((query.get('state') ?? '') === '') return 'missing_state'
  return isRedirectUri(app.redirectUrls, query.get('redirect_uri') ?? '')
    ? null
    : 'bad_redirect_uri'
}

function isRedirectUri(configured: readonly string[], uri: string): boolean {
  if (!URL.canParse(uri) || uri.includes('#')) return false
  const { protocol, hostname } = new URL(uri)
  const isLoopback = protocol === 'http:' && ['127.0.0.1', 'localhost'].includes(hostname)
  if (protocol !== 'https:' && !isLoopback) return false
  const isBelow = (url: string) => uri === url || uri.startsWith(`${url.replace(/\/$/, '')}/`)
  return configured.length === 0 || configured.some(isBelow)
}

function answerConsent(
  world: World,
  codes: Map<string, Code>,
  query: URLSearchParams,
  consent: Consent,
): Reply {
  const redirectUri = query.get('redirect_uri') ?? ''
  const location = new URL(redirectUri)
  if (consent.isGiven) {
    const code = `${consent.teamId.slice(1)}.${randomText()}`
    const scopes = (query.get('scope') ?? '').split(',')
    codes.set(code, { redirectUri, scopes, consent, issuedAtMs: world.now(), isUsed: false })
    location.searchParams.set('code', code)
  } else {
    location.searchParams.set('error', 'access_denied')
  }
  location.searchParams.set('state', query.get('state') ?? '')
  return { status: 302, headers: { location: location.href }, body: '' }
}

/** The client may say who it is in the form or by HTTP Basic; in a form only, never in JSON. */
function clientProblem({ app }: World, { method, headers }: Call, form: URLSearchParams) {
  const type = headers['content-type'] ?? ''
  if (method !== 'POST' || !type.startsWith('application/x-www-form-urlencoded')) {
    return 'invalid_post_type'
  }
  const basic = /^Basic (\S+)$/.exec(headers.authorization ?? '')?.[1]
  const [basicId, basicSecret] = Buffer.from(basic ?? '', 'base64')
    .toString()
    .split(/:(.*)/s)
  const id = basic === undefined ? form.get('client_id') : basicId
  const secret = basic === undefined ? form.get('client_secret') : basicSecret
  if (id !== app.clientId) return 'invalid_client_id'
  return secret === app.clientSecret ? null : 'bad_client_secret'
}

/** A code is used once, within its life, with the redirect that it was given for. */
function exchange(
  world: World,
  codes: Map<string, Code>,
  form: URLSearchParams,
  { headers: { host } }: Call,
): Reply {
  const code = codes.get(form.get('code') ?? '')
  if (code === undefined) return failure('invalid_code')
  if (code.isUsed) return failure('code_already_used')
  if (world.now() - code.issuedAtMs > CODE_LIFE_MS) return failure('invalid_code')
  if (form.get('redirect_uri') !== code.redirectUri) return failure('bad_redirect_uri')
  code.isUsed = true
  const { teamId, channelId, userId } = code.consent
  installApp(world, teamId, code.scopes)
  return json({
    ...tokensAnswer(world, teamId),
    authed_user: { id: userId },
    ...(code.scopes.includes('incoming-webhook') && {
      incoming_webhook: webhookAnswer(world, teamId, channelId, `http://${host}`),
    }),
  })
}

function webhookAnswer(world: World, teamId: string, channelId: string, url: string): Fields {
  const { path } = makeWebhook(world, teamId, channelId)
  const domain = world.teams.get(teamId)?.domain
  return {
    channel: `#${world.channels.get(channelId)?.name}`,
    channel_id: channelId,
    configuration_url: `https://${domain}.slack.com/services/${path.split('/')[3]}`,
    url: url + path,
  }
}

/**
 * null: this refresh token is none that holds. The one that was used is revoked. [Slack, token rotation: after a short
 * grace period]
 */
function refresh(world: World, form: URLSearchParams, graceMs: number): Fields | null {
  const token = world.refreshTokens.get(form.get('refresh_token') ?? '')
  const nowMs = world.now()
  if (token === undefined || (token.validUntilMs !== null && nowMs >= token.validUntilMs)) {
    return null
  }
  token.validUntilMs ??= nowMs + graceMs
  return tokensAnswer(world, token.teamId)
}

function tokensAnswer(world: World, teamId: string): Fields {
  const { token, refreshToken } = issueTokens(world, teamId)
  const install = world.installs.get(teamId)
  return {
    ok: true,
    access_token: token.value,
    token_type: 'bot',
    scope: [...(install?.scopes ?? [])].join(','),
    bot_user_id: install?.botUserId,
    app_id: world.app.id,
    team: { id: teamId, name: world.teams.get(teamId)?.name },
    enterprise: null,
    is_enterprise_install: false,
    ...(refreshToken !== null && {
      refresh_token: refreshToken.value,
      expires_in: TOKEN_LIFE_S,
    }),
  }
}
