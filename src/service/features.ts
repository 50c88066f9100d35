import { sql } from 'drizzle-orm'
import { makeAudit } from '../auth/audit.ts'
import { makeConversations } from '../chat/conversations.ts'
import { demoModel } from '../chat/demo-model.ts'
import type { Model } from '../chat/model.ts'
import { makeTurn } from '../chat/turn.ts'
import type { Config } from '../config.ts'
import { notFound } from '../core/error.ts'
import type { DbTx } from '../db/pool.ts'
import type { Network } from '../egress/reach.ts'
import { makeChannels } from '../integrations/channels.ts'
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
import type { Log } from '../telemetry/log.ts'
import { toModelTool } from '../tools/formats.ts'
import { makeCallApp } from './call-app.ts'
import { API_CONNECTIONS, type Resources } from './resources.ts'
import { makeTools } from './tools.ts'

export type Features = ReturnType<typeof makeFeatures>

/** What the API and a worker have in common: what an org has, and a turn of its chat. */
export function makeFeatures(config: Config, resources: Resources, log: Log) {
  const { keyring, egress, newId, registry, jobs } = resources
  const { inOrg, readInOrg, writeInOrg } = shareOut(resources, makeGate(ORG_SHARE))
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
  // Whoever changes an integration, or lists tools, does not wait for a server; the job's own failures are told there.
  const readToolsSoon = (orgId: string, integrationId: string) => {
    void jobs.readTools(orgId, integrationId)
  }
  const callApp = makeCallApp({ egress, domainsOf: egressAllowLists.get })
  const integrations = makeIntegrations({
    inOrg,
    readInOrg,
    audit: writeAudit,
    keyring,
    findProvider: registry.find,
    newId,
    mayInstallInternal: (orgId) => config.INTERNAL_HTTP_ORGS?.includes(orgId) ?? true,
    nowMs: Date.now,
    callApp,
    urlJudge,
    whenChanged: (orgId, id, providerKey) => {
      if (providerKey === 'mcp') readToolsSoon(orgId, id)
    },
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
      const found = registry.find(provider.key)
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
  const tools = makeTools({
    ...resources,
    config,
    limited: toolLimits(config, take),
    inOrg,
    readInOrg,
    writeInOrg,
    urlJudge,
    loadHost: integrations.load,
    searchMessages: conversations.search,
    emit: emitIn,
    audit: writeAudit,
    whenStale: readToolsSoon,
    log,
  })
  const turn = makeTurn({
    inOrg,
    model: modelOf(config, egress.operatorFetch),
    history: conversations.latest,
    // Whoever has a turn may chat.
    listTools: async (orgId) => (await tools.catalog.list(orgId, MAY_CHAT)).map(toModelTool),
    invokeTool: (call) => tools.invoke.ask(call, MAY_CHAT),
    prepareWait: tools.approvals.prepareWait,
    emit: emitIn,
    newId,
  })
  return {
    inOrg,
    readInOrg,
    emitIn,
    audit,
    take,
    egressAllowLists,
    callApp,
    integrations,
    subscriptions,
    channels: makeChannels({ inOrg, create: subscriptions.create }),
    conversations,
    ...tools,
    turn,
  }
}

const MAY_CHAT = () => Promise.resolve(true)

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

function modelOf(config: Config, fetchModel: typeof fetch): Model {
  if (config.LLM_BASE_URL === undefined || config.LLM_MODEL === undefined) return demoModel
  const options = {
    baseUrl: config.LLM_BASE_URL,
    apiKey: config.LLM_API_KEY,
    model: config.LLM_MODEL,
    fetch: fetchModel,
  }
  return {
    name: options.model,
    // The library is read with the first turn.
    respond: async (turn) => {
      const { makeAiModel } = await import('../chat/ai-model.ts')
      return makeAiModel(options).respond(turn)
    },
  }
}
