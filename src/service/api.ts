import packageJson from '../../package.json' with { type: 'json' }
import { makeIdempotency } from '../auth/idempotency.ts'
import { makeOrgs } from '../auth/orgs.ts'
import { makeAuthorize } from '../auth/principal.ts'
import { makeVerifyToken } from '../auth/token.ts'
import type { Config } from '../config.ts'
import { notFound } from '../core/error.ts'
import { makeHistory } from '../history/history.ts'
import { createApp } from '../http/app.ts'
import { makeIntegrations } from '../integrations/integrations.ts'
import { makeSubscriptions } from '../integrations/subscriptions.ts'
import { emit } from '../outbox/emit.ts'
import { findProvider, PROVIDERS } from '../providers/registry.ts'
import type { Log } from '../telemetry/log.ts'
import { jwtSecret, type Resources } from './resources.ts'

/** The API on its resources: every feature made, each given what it needs of the others. */
export async function makeApi(config: Config, resources: Resources, log: Log) {
  const { db, pool, keyring, egress, jobs, newId } = resources
  const integrations = makeIntegrations({
    db,
    keyring,
    findProvider,
    newId,
    mayInstallInternal: (orgId) => config.INTERNAL_HTTP_ORGS?.includes(orgId) ?? true,
  })
  const subscriptions = makeSubscriptions({
    db,
    keyring,
    newId,
    providerOf: async (orgId, integrationId) => {
      const integration = await integrations.load(orgId, integrationId)
      if (integration === null) throw notFound('integration')
      return integration.provider
    },
    urlProblem: (url, network) => {
      const verdict = egress.judge(url, network)
      return verdict.isAllowed ? null : verdict.reason
    },
  })
  return createApp({
    log,
    version: packageJson.version,
    verifyToken: makeVerifyToken({
      jwksUrl: config.AUTH_JWKS_URL,
      secret: await jwtSecret(config),
      issuer: config.AUTH_ISSUER,
      audience: config.AUTH_AUDIENCE,
      orgClaim: config.AUTH_ORG_CLAIM,
      fetch: egress.operatorFetch,
    }),
    authorize: makeAuthorize({ db }),
    idempotency: makeIdempotency({ db, keyring }),
    orgs: makeOrgs({ db, newId }),
    providers: PROVIDERS,
    integrations,
    subscriptions,
    history: makeHistory({ db: pool }),
    emit: (event) => emit(pool, event),
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
