import type { Config } from '../config.ts'
import { AppError } from '../core/error.ts'
import type { SlackApp } from '../http/routes/slack.ts'
import { makeInstalls } from '../integrations/install.ts'
import type { RefreshToken } from '../integrations/refresh.ts'
import { appManifest } from '../providers/slack/app-manifest.ts'
import {
  authorizeUrl,
  exchangeCode,
  refresh,
  type SlackInstalled,
} from '../providers/slack/oauth.ts'
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
  readonly orgName: (orgId: string) => Promise<string>
}

/** The installation's Slack app: how orgs install it. */
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
