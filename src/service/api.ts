import { sql } from 'drizzle-orm'
import packageJson from '../../package.json' with { type: 'json' }
import { looksLikeApiKey } from '../auth/api-key-text.ts'
import { makeApiKeys, makeVerifyApiKey } from '../auth/api-keys.ts'
import { makeAudit } from '../auth/audit.ts'
import { makeIdempotency } from '../auth/idempotency.ts'
import { makeJwks } from '../auth/jwks.ts'
import { makeMembers } from '../auth/members.ts'
import { makeOrgs } from '../auth/orgs.ts'
import { makeAuthorize } from '../auth/principal.ts'
import { makeVerifyToken } from '../auth/token.ts'
import { makeAiModel } from '../chat/ai-model.ts'
import { makeConversations } from '../chat/conversations.ts'
import { demoModel } from '../chat/demo-model.ts'
import type { Model } from '../chat/model.ts'
import { makeTurn } from '../chat/turn.ts'
import type { Config } from '../config.ts'
import { notFound } from '../core/error.ts'
import type { DbTx } from '../db/pool.ts'
import type { Network } from '../egress/reach.ts'
import { makeHistory } from '../history/history.ts'
import { pingSubscription } from '../history/ping.ts'
import { makeRecover } from '../history/recover.ts'
import { makeStats } from '../history/stats.ts'
import { type AppDeps, createApp, type FrameDeps } from '../http/app.ts'
import { makeEgressAllowLists } from '../integrations/egress-allow-list.ts'
import { makeIntegrations } from '../integrations/integrations.ts'
import { makeSubscriptions } from '../integrations/subscriptions.ts'
import { makeCount } from '../limits/count.ts'
import { shareOut } from '../limits/fair-share.ts'
import { makeGate } from '../limits/gate.ts'
import { makeLimiter, type Take } from '../limits/limiter.ts'
import { makeToolLimits } from '../limits/tool-limits.ts'
import { fromDrizzle } from '../outbox/adapters.ts'
import { type EventInput, emit } from '../outbox/emit.ts'
import { findProvider, PROVIDERS } from '../providers/registry.ts'
import type { Log } from '../telemetry/log.ts'
import { API_CONNECTIONS, jwtSecret, type Resources } from './resources.ts'
import { makeTools } from './tools.ts'

/** The API on its resources: every feature made, each given what it needs of the others. */
export async function makeApi(config: Config, resources: Resources, log: Log) {
  const { db, pool, keyring, egress, jobs, newId } = resources
  const { inOrg, readInOrg } = shareOut(resources, makeGate(ORG_SHARE))
  const retentionDays = config.RETENTION_DAYS
  const emitIn = (tx: DbTx, event: EventInput) => emit(fromDrizzle(tx, sql), event)

  const audit = makeAudit({ inOrg })
  const writeAudit = audit.record
  const egressAllowLists = makeEgressAllowLists({ inOrg, audit: writeAudit })
  const urlJudge = async (orgId: string, network: Network) => {
    const domains = await egressAllowLists.get(orgId)
    return (url: string) => {
      const verdict = egress.judge(url, { orgId, network, domains })
      return verdict.isAllowed ? null : verdict.reason
    }
  }
  const integrations = makeIntegrations({
    inOrg,
    readInOrg,
    audit: writeAudit,
    keyring,
    findProvider,
    newId,
    mayInstallInternal: (orgId) => config.INTERNAL_HTTP_ORGS?.includes(orgId) ?? true,
  })
  const subscriptions = makeSubscriptions({
    inOrg,
    audit: writeAudit,
    nowMs: Date.now,
    keyring,
    newId,
    urlJudge,
    maxSubscriptions: config.WEBHOOKS_PER_ORG,
    providerOf: async (orgId, integrationId) => {
      const { provider } = await integrations.get(orgId, integrationId)
      const found = findProvider(provider.key)
      if (found === null) throw notFound('integration')
      return found
    },
  })
  const conversations = makeConversations({ inOrg })
  const take = makeLimiter({
    count: makeCount(resources.countPool),
    nowMs: () => performance.now(),
    log,
  })
  const { catalog, invoke, runs, definitions } = makeTools({
    limited: toolLimits(config, take),
    inOrg,
    readInOrg,
    egress,
    newId,
    urlJudge,
    loadHost: integrations.load,
    searchMessages: conversations.search,
    emit: emitIn,
    audit: writeAudit,
    maxTools: config.TOOLS_PER_ORG,
  })
  const turn = makeTurn({
    inOrg,
    model: modelOf(config, egress.operatorFetch),
    history: conversations.latest,
    listTools: catalog.list,
    invokeTool: invoke,
    recordRun: runs.record,
    emit: emitIn,
    newId,
  })
  const verifyApiKey = makeVerifyApiKey({ db, log })
  const verifyJwt = makeVerifyToken({
    keys: await tokenKeys(config, egress.operatorFetch, log),
    issuer: config.AUTH_ISSUER,
    audience: config.AUTH_AUDIENCE,
    type: config.AUTH_TOKEN_TYPE,
    orgClaim: config.AUTH_ORG_CLAIM,
    nowMs: Date.now,
  })
  return createApp({
    log,
    frame: frameOf(config, log),
    takeRequest: requestLimit(config.RATE_LIMIT_PRINCIPAL, take),
    version: packageJson.version,
    verifyToken: (token) => (looksLikeApiKey(token) ? verifyApiKey(token) : verifyJwt(token)),
    authorize: makeAuthorize({ readInOrg }),
    idempotency: makeIdempotency({ inOrg, keyring, newId, log }),
    orgs: makeOrgs({ db, audit: writeAudit, newId }),
    members: makeMembers({ inOrg, audit: writeAudit }),
    apiKeys: makeApiKeys({ inOrg, audit: writeAudit, nowMs: Date.now }),
    providers: PROVIDERS,
    integrations,
    subscriptions,
    egressAllowLists,
    audit,
    history: makeHistory({ inOrg, audit: writeAudit }),
    recover: makeRecover({ inOrg, audit: writeAudit, nowMs: Date.now, retentionDays }),
    stats: makeStats({ inOrg, nowMs: Date.now, retentionDays }),
    ping: (orgId, integrationId, webhookId, by) =>
      inOrg(orgId, async (tx, client) => {
        const sent = await pingSubscription(client, orgId, integrationId, webhookId)
        await audit.record({ orgId, by, action: 'webhook.tested', target: webhookId }, tx)
        return sent
      }),
    pumpRecoveries: jobs.recover,
    catalog,
    definitions,
    runs,
    conversations,
    turn,
    emit: (event) => inOrg(event.orgId, (tx) => emitIn(tx, event)),
    wake: jobs.wake,
    unreadiness: async () => {
      try {
        await pool.query('select 1')
        return null
      } catch {
        return 'the database cannot be reached'
      }
    },
  })
}

/** What is around every route, with and without a database. */
export function frameOf(config: Config, log: Log): FrameDeps {
  return { log, trustedProxies: config.TRUSTED_PROXIES, corsOrigins: config.CORS_ORIGINS }
}

function requestLimit(points: number, take: Take): AppDeps['takeRequest'] {
  if (points === 0) return null
  const limit = { points, windowMs: 60_000 }
  return (principalId) => take(`principal/${principalId}`, limit)
}

const MAX_PLACE_WAIT_MS = 5000

/** Half of the API's connections. */
const ORG_SHARE = {
  what: 'requests of this org are under way',
  max: API_CONNECTIONS / 2,
  maxWaiting: 1000,
  maxWaitMs: MAX_PLACE_WAIT_MS,
}

function toolLimits(config: Config, take: Take) {
  const max = config.TOOL_CONCURRENCY
  return makeToolLimits({
    take,
    enter: makeGate({
      what: 'tools of this org run',
      max,
      maxWaiting: 4 * max,
      maxWaitMs: MAX_PLACE_WAIT_MS,
    }),
    perIntegration: config.RATE_LIMIT_INTEGRATION,
  })
}

/** What tokens are checked with: the identity provider's keys or the shared secret. */
async function tokenKeys(config: Config, fetchKeys: typeof fetch, log: Log) {
  const url = config.AUTH_JWKS_URL
  if (url !== undefined)
    return makeJwks({ url, fetch: fetchKeys, nowMs: () => performance.now(), log })
  const secret = await jwtSecret(config)
  if (secret === undefined) throw new Error('neither a JWKS nor a secret is configured')
  return secret
}

function modelOf(config: Config, fetchModel: typeof fetch): Model {
  if (config.LLM_BASE_URL === undefined || config.LLM_MODEL === undefined) return demoModel
  return makeAiModel({
    baseUrl: config.LLM_BASE_URL,
    apiKey: config.LLM_API_KEY,
    model: config.LLM_MODEL,
    fetch: fetchModel,
  })
}
