import { notFound } from '../core/error.ts'
import type { Provider } from '../core/provider.ts'
import { genericWebhook } from './generic-webhook/generic-webhook.ts'
import { internalHttp } from './internal-http/internal-http.ts'
import { slack } from './slack/slack.ts'
import { teams } from './teams/teams.ts'

/** The apps that can be installed. A new one is a folder beside these and a line here. */
export const PROVIDERS: readonly Provider[] = [genericWebhook, internalHttp, slack, teams]

const BY_KEY = new Map(PROVIDERS.map((provider) => [provider.manifest.key, provider]))

export function findProvider(key: string): Provider | null {
  return BY_KEY.get(key) ?? null
}

export function getProvider(key: string): Provider {
  const provider = findProvider(key)
  if (provider === null) throw notFound('provider')
  return provider
}
