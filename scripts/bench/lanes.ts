import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { makeNewId } from '../../src/core/id.ts'
import { Secret } from '../../src/core/secret.ts'
import { makeDataKeyStore } from '../../src/db/data-keys.ts'
import { findApiRole, openTenants } from '../../src/db/tenants.ts'
import { makeIntegrations } from '../../src/integrations/integrations.ts'
import { makeSubscriptions } from '../../src/integrations/subscriptions.ts'
import { findProvider, getProvider } from '../../src/providers/registry.ts'
import { openKeyring } from '../../src/security/keyring.ts'
import { makeLocalWrapper } from '../../src/security/local-wrapper.ts'
import { laneType, ORG } from './body.ts'
import { plainKeyring } from './plain-keyring.ts'

export interface LanesOptions {
  readonly databaseUrl: string
  readonly lanes: number
  readonly masterKey: string
  readonly receiverUrl: string
  /** Nothing is encrypted. */
  readonly isBare: boolean
}

/**
 * One org with one integration and a subscription for each lane, by the product's own code.
 *
 * @returns the signing secrets by path
 */
export async function subscribeLanes(
  pool: pg.Pool,
  { databaseUrl, lanes, masterKey, receiverUrl, isBare }: LanesOptions,
): Promise<Record<string, string>> {
  const newId = makeNewId({ nowMs: Date.now, randomBytes })
  const wrapper = makeLocalWrapper('MASTER_KEY', () => [new Secret(masterKey)])
  const store = makeDataKeyStore(pool)
  const keyring = isBare ? plainKeyring : await openKeyring({ wrapper, store, newId })
  const provider = getProvider('generic-webhook')
  const { key, name, description } = provider.manifest
  await pool.query('insert into patchbay.orgs (id, name) values ($1, $1)', [ORG])
  await pool.query(
    'insert into patchbay.integration_providers (key, name, description, manifest) values ($1, $2, $3, $4)',
    [key, name, description, provider.manifest],
  )
  const by = { principalId: 'bench', address: null, requestId: null }
  await using tenants = openTenants({
    url: databaseUrl,
    role: await findApiRole(pool),
    max: 2,
    applicationName: 'patchbay bench api',
    onError: () => undefined,
  })
  const { inOrg } = tenants
  const integrations = makeIntegrations({
    inOrg,
    keyring,
    findProvider,
    newId,
    mayInstallInternal: () => true,
    audit: () => Promise.resolve(),
  })
  const subscriptions = makeSubscriptions({
    inOrg,
    keyring,
    newId,
    nowMs: Date.now,
    audit: () => Promise.resolve(),
    providerOf: () => Promise.resolve(provider),
    urlJudge: async () => () => null,
    maxSubscriptions: lanes,
  })
  const { id } = await integrations.create(ORG, { providerKey: key, name: 'bench' }, by)
  const secrets: Record<string, string> = {}
  for (let lane = 0; lane < lanes; lane += 1) {
    const path = `/lane/${lane}`
    const { secret } = await subscriptions.create(
      ORG,
      id,
      { url: receiverUrl + path, eventTypes: [laneType(lane)] },
      by,
    )
    secrets[path] = secret
  }
  return secrets
}
