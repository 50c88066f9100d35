import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { makeNewId } from '../../src/core/id.ts'
import { Secret } from '../../src/core/secret.ts'
import { makeDataKeyStore } from '../../src/db/data-keys.ts'
import { openPool } from '../../src/db/pool.ts'
import { findApiRole, openTenants } from '../../src/db/tenants.ts'
import { makeIntegrations } from '../../src/integrations/integrations.ts'
import { makeSubscriptions } from '../../src/integrations/subscriptions.ts'
import { genericWebhook } from '../../src/providers/generic-webhook/generic-webhook.ts'
import { openKeyring } from '../../src/security/keyring.ts'
import { makeLocalWrapper } from '../../src/security/local-wrapper.ts'
import { LANES_PER_ORG, laneOrg, laneType, TYPE_OF_ALL } from './body.ts'
import type { Contents, Database } from './databases.ts'
import type { Stage } from './part.ts'
import { plainKeyring } from './plain-keyring.ts'

const AT_ONCE = 4

export interface LanesOptions {
  /** Of a database that is migrated. */
  readonly url: string
  readonly masterKey: string
  readonly lanes: number
  /** Lane 7 is at `${base}/lane/7`. */
  readonly base: string
  readonly orgOf?: (lane: number) => string
  readonly typesOf?: (lane: number) => string[]
  /** Nothing is encrypted. */
  readonly isBare?: boolean
}

/** A database with this many lanes at the receiver (below `path`), all of them idle. */
export function copyLanes(
  { receiverUrl, templates }: Pick<Stage, 'receiverUrl' | 'templates'>,
  lanes: number,
  path = '',
): Promise<Database> {
  const base = receiverUrl + path
  return templates.copy(`${lanes} lanes${path}`, ({ url }, masterKey) =>
    subscribeLanes({ url, masterKey, lanes, base }),
  )
}

/**
 * Orgs with one integration each and a subscription for each lane, by the product's own code.
 *
 * @returns the signing secrets by path
 */
export async function subscribeLanes(options: LanesOptions): Promise<Contents['secrets']> {
  const { lanes, base, masterKey, orgOf = laneOrg, typesOf = laneTypes, isBare = false } = options
  // None of it has to outlive a crash.
  const url = new URL(options.url)
  url.searchParams.set('options', '-c synchronous_commit=off')
  const database = { url: url.href, max: AT_ONCE, onError: () => undefined }
  await using stack = new AsyncDisposableStack()
  const pool = openPool({ ...database, applicationName: 'bench' })
  stack.defer(() => pool.end())
  const tenants = stack.use(
    openTenants({ ...database, role: await findApiRole(pool), applicationName: 'bench api' }),
  )
  const { inOrg, readInOrg } = tenants
  const newId = makeNewId({ nowMs: Date.now, randomBytes })
  const wrapper = makeLocalWrapper('MASTER_KEY', () => [new Secret(masterKey)])
  const store = makeDataKeyStore(pool)
  const keyring = isBare ? plainKeyring : await openKeyring({ wrapper, store, newId })
  const provider = genericWebhook
  const audit = () => Promise.resolve()
  const mayInstallInternal = () => true
  const integrations = makeIntegrations({
    inOrg,
    readInOrg,
    keyring,
    findProvider: () => provider,
    newId,
    mayInstallInternal,
    audit,
    nowMs: Date.now,
    callApp: () => Promise.reject(new Error('the bench calls no app')),
    urlJudge: async () => () => null,
    whenChanged: () => undefined,
  })
  const subscriptions = makeSubscriptions({
    inOrg,
    keyring,
    newId,
    nowMs: Date.now,
    audit,
    providerOf: () => Promise.resolve(provider),
    urlJudge: async () => () => null,
    maxSubscriptions: LANES_PER_ORG * 2,
  })
  await addProvider(pool, provider.manifest)
  const by = { principalId: 'bench', address: null, requestId: null }
  const secrets: Record<string, string> = {}
  const install = async (org: string) => {
    await pool.query(
      'insert into patchbay.orgs (id, name) values ($1, $1) on conflict do nothing',
      [org],
    )
    return integrations.create(org, { providerKey: provider.manifest.key, name: 'bench' }, by)
  }
  for (let first = 0; first < lanes; first += LANES_PER_ORG) {
    const org = orgOf(first)
    const { integration } = await install(org)
    const { id } = integration
    let next = first
    const end = Math.min(lanes, first + LANES_PER_ORG)
    const subscribe = async () => {
      while (next < end) {
        const lane = next
        next += 1
        const to = new URL(`${base}/lane/${lane}`)
        const input = { url: to.href, eventTypes: typesOf(lane) }
        const { secret } = await subscriptions.create(org, id, input, by)
        secrets[to.pathname] = secret
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, subscribe))
  }
  return secrets
}

const laneTypes = (lane: number) => [laneType(lane), TYPE_OF_ALL]

interface Manifest {
  readonly key: string
  readonly name: string
  readonly description: string
}

/** As a worker does when it starts. */
async function addProvider(pool: pg.Pool, manifest: Manifest): Promise<void> {
  await pool.query(
    'insert into patchbay.integration_providers (key, name, description, manifest) values ($1, $2, $3, $4) on conflict do nothing',
    [manifest.key, manifest.name, manifest.description, manifest],
  )
}
