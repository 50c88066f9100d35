import { notFound } from '../core/error.ts'
import type { Provider } from '../core/provider.ts'
import { genericWebhook } from './generic-webhook/generic-webhook.ts'
import { internalHttp } from './internal-http/internal-http.ts'
import { type LookAtMcp, makeMcp } from './mcp/mcp.ts'
import { makeSlack } from './slack/slack.ts'
import { makeTeams } from './teams/teams.ts'

/** What the operator says of the apps' own servers, and what speaks to those of a protocol. */
export interface ProviderOptions {
  readonly slackApiUrl: string
  readonly slackWebhookHosts: readonly string[]
  readonly teamsWorkflowHosts: readonly string[]
  readonly lookAtMcp: LookAtMcp
}

export interface Registry {
  readonly all: readonly Provider[]
  readonly find: (key: string) => Provider | null
  /** Throws `NOT_FOUND`. */
  readonly get: (key: string) => Provider
}

/** The apps that can be installed. A new one is a folder beside these and a line here. */
export function makeRegistry(options: ProviderOptions): Registry {
  return toRegistry([
    genericWebhook,
    internalHttp,
    makeSlack({ apiUrl: options.slackApiUrl, webhookHosts: options.slackWebhookHosts }),
    makeTeams({ workflowHosts: options.teamsWorkflowHosts }),
    makeMcp(options.lookAtMcp),
  ])
}

export function toRegistry(all: readonly Provider[]): Registry {
  const byKey = new Map(all.map((provider) => [provider.manifest.key, provider]))
  const find = (key: string) => byKey.get(key) ?? null
  return {
    all,
    find,
    get: (key) => {
      const provider = find(key)
      if (provider === null) throw notFound('provider')
      return provider
    },
  }
}
