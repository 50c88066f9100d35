import { failure, type Poster, postMessage } from './chat.ts'
import { removeApp } from './grants.ts'
import { type Call, type Fields, isFields, json, parseJson, type Reply } from './http.ts'
import type { RateLimit } from './rate-limit.ts'
import type { Message, World } from './world.ts'

/** What Slack tells the app about afterwards. */
export interface WebApiNews {
  readonly posted: (message: Message) => void
  readonly uninstalled: (teamId: string) => void
  readonly tokensRevoked: (teamId: string) => void
}

const FORM = 'application/x-www-form-urlencoded'

/**
 * A method of the Web API that is called with a token, by the name in its path. [Slack, Web API: the word `Bearer` is
 * case-sensitive; always HTTP 200, look at `ok`; every reply carries `x-oauth-scopes`]
 */
export function answerWebApi(world: World, limit: RateLimit, news: WebApiNews, call: Call): Reply {
  const args = argsOf(call)
  if (typeof args === 'string') return failure(args)
  const caller = authenticate(world, call)
  if (typeof caller === 'string') return failure(caller)
  const { install } = caller
  // What follows may take the scopes away.
  const scopes = [...install.scopes].join(',')
  const reply = answerCaller(world, limit, news, call, caller, args)
  return {
    ...reply,
    headers: { ...reply.headers, 'x-oauth-scopes': scopes },
    body: withCharsetWarning(call, reply.body),
  }
}

function answerCaller(
  world: World,
  limit: RateLimit,
  news: WebApiNews,
  { path }: Call,
  caller: Poster,
  args: Fields,
): Reply {
  const { install } = caller
  switch (path.replace(/^\/api\//, '')) {
    case 'chat.postMessage':
      if (!install.scopes.has('chat:write')) return missingScope(caller, 'chat:write')
      return postMessage(world, limit, caller, args, news.posted)
    case 'auth.test':
      return json({ ok: true, ...identityOf(world, caller) })
    case 'auth.revoke': {
      const token = world.tokens.get(caller.token)
      if (token !== undefined) token.isRevoked = true
      news.tokensRevoked(install.teamId)
      return json({ ok: true, revoked: true })
    }
    case 'apps.uninstall':
      if (args.client_id !== world.app.clientId) return failure('invalid_client_id')
      if (args.client_secret !== world.app.clientSecret) return failure('bad_client_secret')
      removeApp(world, install.teamId)
      news.uninstalled(install.teamId)
      return json({ ok: true })
    default:
      return failure('unknown_method')
  }
}

/** An error of Slack's where the token is none that holds. */
function authenticate(world: World, { headers }: Call): Poster | string {
  const value = /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1]
  if (value === undefined) return 'not_authed'
  const token = world.tokens.get(value)
  const install = token && world.installs.get(token.teamId)
  if (token === undefined || install === undefined) return 'invalid_auth'
  if (!install.isActive) return 'account_inactive'
  if (token.isRevoked) return 'token_revoked'
  const isExpired = token.expiresAtMs !== null && token.expiresAtMs <= world.now()
  return isExpired ? 'token_expired' : { install, token: value }
}

function argsOf({ headers, body, query }: Call): Fields | string {
  if (body === '') return Object.fromEntries(query)
  const type = headers['content-type'] ?? ''
  if (type.startsWith(FORM)) return Object.fromEntries(new URLSearchParams(body))
  if (!type.startsWith('application/json')) return 'invalid_post_type'
  const parsed = parseJson(body)
  if (parsed === undefined) return 'invalid_json'
  return isFields(parsed) ? parsed : 'json_not_object'
}

/** Slack takes JSON that does not name its charset, and says so. */
function withCharsetWarning({ headers, body: sent }: Call, body: string): string {
  if (sent === '' || !/^application\/json(?!.*charset)/i.test(headers['content-type'] ?? '')) {
    return body
  }
  const answer = parseJson(body)
  if (!isFields(answer)) return body
  const known = isFields(answer.response_metadata) ? answer.response_metadata : {}
  const metadata = { ...known, warnings: ['missing_charset'] }
  return JSON.stringify({ ...answer, warning: 'missing_charset', response_metadata: metadata })
}

function missingScope({ install }: Poster, needed: string): Reply {
  const provided = [...install.scopes].join(',')
  return json({ ok: false, error: 'missing_scope', needed, provided })
}

function identityOf(world: World, { install }: Poster): Fields {
  const team = world.teams.get(install.teamId)
  return {
    url: `https://${team?.domain}.slack.com/`,
    team: team?.name,
    user: 'assistant',
    team_id: install.teamId,
    user_id: install.botUserId,
    bot_id: install.botId,
    is_enterprise_install: false,
  }
}
