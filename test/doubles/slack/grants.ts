import { randomBytes } from 'node:crypto'
import {
  type IncomingWebhook,
  type Install,
  makeId,
  type RefreshToken,
  type Token,
  type World,
} from './world.ts'

/** [Slack, token rotation: a token that rotates lives 43,200 s, always] */
export const TOKEN_LIFE_S = 43_200
/** [Slack, token rotation] */
const MAX_ACTIVE_TOKENS = 2

export interface Grant {
  readonly token: Token
  /** null: the app's tokens do not rotate. */
  readonly refreshToken: RefreshToken | null
}

/** [Slack, OAuth v2: scopes are additive when it is installed again] */
export function installApp(world: World, teamId: string, scopes: readonly string[]): Install {
  const known = world.installs.get(teamId)
  const install = known ?? {
    teamId,
    botUserId: makeId('U'),
    botId: makeId('B'),
    scopes: new Set<string>(),
    isActive: true,
  }
  install.isActive = true
  for (const scope of scopes) install.scopes.add(scope)
  world.installs.set(teamId, install)
  return install
}

/**
 * `xoxb-…`, the same one again when it is installed again; or `xoxe.xoxb-1-…` that rotates. [Slack, token rotation: two
 * active ones at most]
 */
export function issueTokens(world: World, teamId: string): Grant {
  const nowMs = world.now()
  const active = activeTokens(world, teamId)
  if (!world.app.hasTokenRotation) {
    const token = active.at(0) ?? makeToken(world, teamId, 'xoxb-', null)
    return { token, refreshToken: null }
  }
  for (const old of active.slice(0, active.length + 1 - MAX_ACTIVE_TOKENS)) {
    old.isRevoked = true
  }
  const token = makeToken(world, teamId, 'xoxe.xoxb-1-', nowMs + TOKEN_LIFE_S * 1000)
  const refreshToken = { value: `xoxe-1-${randomText()}`, teamId, validUntilMs: null }
  world.refreshTokens.set(refreshToken.value, refreshToken)
  return { token, refreshToken }
}

/** Oldest first. */
export function activeTokens(world: World, teamId: string): Token[] {
  return [...world.tokens.values()].filter(
    (token) =>
      token.teamId === teamId &&
      !token.isRevoked &&
      (token.expiresAtMs === null || token.expiresAtMs > world.now()),
  )
}

function makeToken(world: World, teamId: string, prefix: string, expiresAtMs: number | null) {
  const token: Token = { value: prefix + randomText(), teamId, expiresAtMs, isRevoked: false }
  world.tokens.set(token.value, token)
  return token
}

export function makeWebhook(world: World, teamId: string, channelId: string): IncomingWebhook {
  const path = `/services/${teamId}/${makeId('B')}/${randomText()}`
  const webhook = { path, teamId, channelId, isRemoved: false }
  world.webhooks.set(path, webhook)
  return webhook
}

export function revokeTokens(world: World, teamId: string): void {
  for (const token of activeTokens(world, teamId)) token.isRevoked = true
  for (const [value, { teamId: owner }] of world.refreshTokens) {
    if (owner === teamId) world.refreshTokens.delete(value)
  }
}

/** Takes the app out of a workspace, with its tokens and webhooks. */
export function removeApp(world: World, teamId: string): void {
  revokeTokens(world, teamId)
  for (const webhook of world.webhooks.values()) {
    if (webhook.teamId === teamId) webhook.isRemoved = true
  }
  const install = world.installs.get(teamId)
  if (install === undefined) return
  install.isActive = false
  install.scopes.clear()
}

export function randomText(): string {
  return randomBytes(18).toString('hex')
}
