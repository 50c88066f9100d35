import type { Config } from '../config.ts'
import { AppError } from '../core/error.ts'
import { isUuid } from '../core/id.ts'
import type { InboundRequest } from '../core/provider.ts'
import type { SlackApp } from '../http/routes/slack.ts'
import type { InboundIntegration } from '../inbound/find-integration.ts'
import { makeInstalls } from '../integrations/install.ts'
import type { RefreshToken } from '../integrations/refresh.ts'
import { appManifest } from '../providers/slack/app-manifest.ts'
import { readSlackEvent } from '../providers/slack/events.ts'
import {
  authorizeUrl,
  exchangeCode,
  refresh,
  type SlackInstalled,
} from '../providers/slack/oauth.ts'
import {
  isResponseUrl,
  isSlackSignature,
  readSlackCommand,
  readSlackInteraction,
} from '../providers/slack/requests.ts'
import { toPlain } from '../providers/slack/text.ts'
import type { Features } from './features.ts'
import type { Resources } from './resources.ts'

/** The operator's Slack app, as the settings give it; null: there is none. */
function clientOf(config: Config) {
  const { SLACK_CLIENT_ID: clientId, SLACK_CLIENT_SECRET: secret, PUBLIC_URL: publicUrl } = config
  if (clientId === undefined || secret === undefined || publicUrl === undefined) return null
  return {
    apiUrl: config.SLACK_API_URL,
    clientId,
    clientSecret: secret.reveal(),
    publicUrl,
    redirectUri: `${publicUrl}/integrations/slack/callback`,
  }
}

/** Slack's way to another access token; null for every other app, and where there is no Slack app. */
export function refreshSlackToken(config: Config): RefreshToken {
  return async (providerKey, credentials, call) => {
    const client = clientOf(config)
    const { refreshToken } = credentials
    if (providerKey !== 'slack' || client === null || refreshToken === undefined) return null
    const refreshed = await refresh(call, { ...client, refreshToken })
    if (!refreshed.ok) return refreshed
    const { botToken, refreshToken: next, expiresInS } = refreshed
    return { ok: true, expiresInS, credentials: { ...credentials, botToken, refreshToken: next } }
  }
}

interface SlackAppDeps {
  readonly config: Config
  readonly resources: Pick<Resources, 'pool' | 'keyring' | 'newId' | 'registry'>
  readonly features: Features
  readonly findOwn: (integrationId: string) => Promise<InboundIntegration | null>
  readonly signingSecretOf: (integration: InboundIntegration) => Promise<string | undefined>
  readonly orgName: (orgId: string) => Promise<string>
}

/** The installation's Slack app: how orgs install it, and what it sends. */
export function makeSlackApp(deps: SlackAppDeps): SlackApp {
  const { config, features, resources } = deps
  const { pool, keyring, newId, registry } = resources
  const { inOrg, audit, callApp, channels } = features
  const installs = makeInstalls({ inOrg, db: pool, keyring, newId, audit: audit.record })

  function client() {
    const found = clientOf(config)
    if (found !== null) return found
    throw new AppError(
      'UNPROCESSABLE',
      'This server has no Slack app: its operator sets SLACK_CLIENT_ID and what belongs to it, or you paste a webhook URL or a bot token.',
    )
  }

  async function begin(orgId: string, userId: string) {
    const { apiUrl, clientId, redirectUri } = client()
    const { state, browser } = await installs.begin(orgId, userId)
    return { url: authorizeUrl({ apiUrl, clientId, redirectUri, state }), browser }
  }

  /**
   * The channel that was chosen at Slack is told what happens in the chat, by the bot: so that a conversation is a thread.
   *
   * @returns what the person should know of it
   */
  async function subscribe(
    orgId: string,
    integrationId: string,
    { webhook }: SlackInstalled,
    principalId: string,
  ): Promise<string> {
    const url = webhook === null ? null : registry.get('slack').channelUrl?.(webhook.channelId)
    if (webhook === null || url === undefined || url === null) return ''
    const by = { principalId, address: null, requestId: null }
    const channel = { url, description: `What happens in the chat, in ${webhook.channel}` }
    await channels.ensure(orgId, integrationId, channel, by, ['chat.turn.completed'])
    return ` What happens in the chat is posted to ${webhook.channel}.`
  }

  /** Who signed it: the installation's app, or the org's own, whose requests name its integration. */
  async function check(request: InboundRequest, integrationId: string | undefined) {
    const own =
      integrationId !== undefined && isUuid(integrationId)
        ? await deps.findOwn(integrationId)
        : null
    const isOwn = own !== null && own.providerKey === 'slack'
    const secret = isOwn
      ? await deps.signingSecretOf(own)
      : integrationId === undefined
        ? config.SLACK_SIGNING_SECRET?.reveal()
        : undefined
    const { headers, rawBody, nowMs } = request
    if (secret !== undefined && isSlackSignature(secret, headers, rawBody, nowMs)) return own
    throw new AppError(
      'UNAUTHENTICATED',
      'Not signed by a Slack app that is known here, or its time is over five minutes off.',
    )
  }

  return {
    begin,

    makeLink: async (orgId, userId) => {
      const { publicUrl } = client()
      return `${publicUrl}/integrations/slack/start?ticket=${await installs.makeLink(orgId, userId)}`
    },

    lookAtLink: async (ticket) => {
      const { orgId } = await installs.lookAtLink(ticket)
      const { permissions } = registry.get('slack').manifest
      return { org: await deps.orgName(orgId), permissions }
    },

    useLink: async (ticket) => {
      const { orgId, userId } = await installs.useLink(ticket)
      return begin(orgId, userId)
    },

    finish: async ({ code, state, browser, actor }) => {
      const { orgId, userId } = await installs.use(state, browser)
      const exchanged = await exchangeCode(await callApp(orgId, 'public'), { ...client(), code })
      if (!exchanged.ok) throw new AppError('UNPROCESSABLE', exchanged.reason)
      const { installed } = exchanged
      const by = { principalId: userId, ...actor }
      const id = await installs.keep(orgId, toInstalledApp(installed), by)
      // Connected it is by now, whatever comes of the channel.
      const told = await subscribe(orgId, id, installed, userId).catch((error: unknown) => {
        if (error instanceof AppError)
          return ` Nothing is posted to a channel yet: ${error.message}`
        throw error
      })
      const workspace = installed.teamName ?? 'of your Enterprise organization'
      return { workspace, org: await deps.orgName(orgId), told }
    },

    appManifest: () => {
      const { PUBLIC_URL: publicUrl } = config
      if (publicUrl === undefined) {
        throw new AppError(
          'UNPROCESSABLE',
          'The operator sets PUBLIC_URL first: Slack has to know where we are.',
        )
      }
      return appManifest({ publicUrl, name: 'Patchbay' })
    },

    readEvent: async (request, integrationId) => {
      const own = await check(request, integrationId)
      const event = readSlackEvent(request.rawBody)
      switch (event.kind) {
        case 'challenge':
        case 'ignored':
          return event
        case 'invalid':
          throw new AppError('INVALID_BODY', `The body ${event.reason}.`)
        case 'rateLimited':
          return { kind: 'ignored', reason: 'Slack held events back: more than 30,000 in an hour' }
        case 'uninstalled':
          return { kind: 'ended', own, ended: { ...event, why: 'uninstalled' } }
        case 'tokensRevoked':
          return { kind: 'ended', own, ended: { ...event, why: 'revoked' } }
        case 'said':
          return {
            kind: 'message',
            own,
            message: { ...event, text: toPlain(event.text, event.botUserId) },
          }
      }
    },

    readCommand: async (request, integrationId) => {
      const own = await check(request, integrationId)
      const command = readSlackCommand(request.rawBody)
      if (command.kind === 'sslCheck') return null
      if (command.kind === 'invalid')
        throw new AppError('INVALID_BODY', `The body ${command.reason}.`)
      if (!isResponseUrl(command.responseUrl, config.SLACK_WEBHOOK_HOSTS)) {
        throw new AppError('INVALID_BODY', 'response_url: is not one of Slack')
      }
      return { own, command: { ...command, text: toPlain(command.text, null) } }
    },

    readInteraction: async (request, integrationId) => {
      await check(request, integrationId)
      const clicked = readSlackInteraction(request.rawBody)
      if (clicked.kind === 'invalid')
        throw new AppError('INVALID_BODY', `The body ${clicked.reason}.`)
    },
  }
}

function toInstalledApp(installed: SlackInstalled) {
  const { teamId, teamName, enterpriseId, botToken, botUserId, refreshToken, expiresInS } =
    installed
  const externalId = teamId ?? enterpriseId
  if (externalId === null)
    throw new AppError('UNPROCESSABLE', 'Slack named no workspace. Begin the install again.')
  return {
    providerKey: 'slack',
    externalId,
    externalName: teamName ?? 'Slack',
    credentials: { botToken, botUserId, ...(refreshToken === null ? {} : { refreshToken }) },
    tokenExpiresInS: refreshToken === null ? null : expiresInS,
  }
}
