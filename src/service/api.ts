import packageJson from '../../package.json' with { type: 'json' }
import { looksLikeApiKey } from '../auth/api-key-text.ts'
import { makeApiKeys, makeVerifyApiKey } from '../auth/api-keys.ts'
import { makeIdempotency } from '../auth/idempotency.ts'
import { makeJwks } from '../auth/jwks.ts'
import { makeMembers } from '../auth/members.ts'
import { makeOrgs } from '../auth/orgs.ts'
import { makeAuthorize } from '../auth/principal.ts'
import { makeVerifyToken } from '../auth/token.ts'
import type { Config } from '../config.ts'
import { makeHistory } from '../history/history.ts'
import { pingSubscription } from '../history/ping.ts'
import { makeRecover } from '../history/recover.ts'
import { makeStats } from '../history/stats.ts'
import { type AppDeps, createApp, createWaitingApp, type FrameDeps } from '../http/app.ts'
import { type Listener, listen } from '../http/listen.ts'
import { openCredentials } from '../integrations/credentials.ts'
import type { Take } from '../limits/limiter.ts'
import type { Log } from '../telemetry/log.ts'
import type { Exposition } from './exposition.ts'
import { makeMcp, mcpAccessOf } from './mcp.ts'
import { jwtSecret } from './resources.ts'
import { makeSlackApp } from './slack-app.ts'
import { makeSlackRequests } from './slack-requests.ts'
import type { Works } from './worker.ts'

/** The API on its resources: every feature made, each given what it needs of the others. */
export async function makeApi(config: Config, works: Works, exposition: Exposition, log: Log) {
  const { resources, features, inbound } = works
  const { db, pool, keyring, egress, jobs, newId, registry } = resources
  const { inOrg, readInOrg, audit, take, emitIn } = features
  const retentionDays = config.RETENTION_DAYS
  const writeAudit = audit.record
  const verifyApiKey = makeVerifyApiKey({ db, log })
  const verifyJwt = makeVerifyToken({
    keys: await tokenKeys(config, egress.operatorFetch, log),
    issuer: config.AUTH_ISSUER,
    audience: config.AUTH_AUDIENCE,
    type: config.AUTH_TOKEN_TYPE,
    orgClaim: config.AUTH_ORG_CLAIM,
    nowMs: Date.now,
  })
  const orgs = makeOrgs({ db, audit: writeAudit, newId })
  return createApp({
    ...features,
    ...inbound,
    ask: features.invoke.ask,
    decide: (orgId, id, decision, by) => features.approvals.decide(orgId, id, decision, by),
    publishedKeys: features.contextTokens.published,
    log,
    frame: frameOf(config, exposition, log),
    takeRequest: perMinute('principal', config.RATE_LIMIT_PRINCIPAL, take),
    takeInbound: perMinute('inbound', config.RATE_LIMIT_INTEGRATION, take),
    version: packageJson.version,
    verifyToken: (token) => (looksLikeApiKey(token) ? verifyApiKey(token) : verifyJwt(token)),
    authorize: makeAuthorize({ readInOrg }),
    idempotency: makeIdempotency({ inOrg, keyring, newId, log }),
    orgs,
    members: makeMembers({ inOrg, audit: writeAudit }),
    apiKeys: makeApiKeys({ inOrg, audit: writeAudit, nowMs: Date.now }),
    providers: registry.all,
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
    slack: makeSlackApp({ config, resources, features, orgName: orgs.nameOf }),
    slackRequests: makeSlackRequests({
      config,
      findOwn: inbound.findIntegration,
      signingSecretOf: async ({ orgId, id, credentials }) =>
        (await openCredentials(keyring, orgId, id, credentials)).signingSecret,
    }),
    mcp: makeMcp(works, log),
    mcpAccess: mcpAccessOf(config),
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

/** Listens already and says of everything that it waits, until it is given the API to use. */
export function listenWaiting(
  config: Config,
  exposition: Exposition,
  log: Log,
  reason: () => string,
): Promise<Listener> {
  const app = createWaitingApp(frameOf(config, exposition, log), reason)
  return listen(config.HOST, config.PORT, app.fetch, { log })
}

/** What is around every route, with and without a database. */
function frameOf(config: Config, { meter, expose }: Exposition, log: Log): FrameDeps {
  return {
    log,
    meter,
    exposeMetrics: expose,
    trustedProxies: config.TRUSTED_PROXIES,
    corsOrigins: config.CORS_ORIGINS,
  }
}

function perMinute(what: string, points: number, take: Take): AppDeps['takeRequest'] {
  if (points === 0) return null
  const limit = { points, windowMs: 60_000 }
  return (id) => take(`${what}/${id}`, limit)
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
