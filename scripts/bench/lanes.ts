import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { makeNewId } from '../../src/core/id.ts'
import { Secret } from '../../src/core/secret.ts'
import { makeDataKeyStore } from '../../src/db/data-keys.ts'
import { openPool } from '../../src/db/pool.ts'
import { sealContext } from '../../src/integrations/subscription.ts'
import { type Keyring, openKeyring } from '../../src/security/keyring.ts'
import { makeLocalWrapper } from '../../src/security/local-wrapper.ts'
import { newSigningSecret } from '../../src/security/signature.ts'
import { LANES_PER_ORG, laneOrg, laneType, TYPE_OF_ALL } from './body.ts'
import type { Contents, Database, EmptyDatabase } from './databases.ts'
import type { Stage } from './part.ts'
import { plainKeyring } from './plain-keyring.ts'

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
 * Orgs with one integration each and a subscription for each lane.
 *
 * @returns the signing secrets by path
 */
export async function subscribeLanes(options: LanesOptions): Promise<Contents['secrets']> {
  const { lanes, base, masterKey, orgOf = laneOrg, typesOf = laneTypes, isBare = false } = options
  const pool = openPool({
    url: options.url,
    max: 1,
    applicationName: 'bench',
    // None of it has to outlive a crash.
    isDurable: false,
    onError: () => undefined,
  })
  await using stack = new AsyncDisposableStack()
  stack.defer(() => pool.end())
  const keyring = isBare ? plainKeyring : await openOwnKeyring({ pool, masterKey })
  const secrets: Record<string, string> = {}
  for (let first = 0; first < lanes; first += LANES_PER_ORG) {
    const count = Math.min(lanes - first, LANES_PER_ORG)
    const subscriptions = Array.from({ length: count }, (_, nth) => ({
      url: `${base}/lane/${first + nth}`,
      types: typesOf(first + nth),
    }))
    const own = await addSubscriptions(pool, keyring, orgOf(first), subscriptions)
    subscriptions.forEach(({ url }, nth) => {
      secrets[new URL(url).pathname] = own[nth] ?? ''
    })
  }
  return secrets
}

export function openOwnKeyring({ pool, masterKey }: Pick<EmptyDatabase, 'pool' | 'masterKey'>) {
  const wrapper = makeLocalWrapper('MASTER_KEY', () => [new Secret(masterKey)])
  return openKeyring({ wrapper, store: makeDataKeyStore(pool), newId })
}

const newId = makeNewId({ nowMs: Date.now, randomBytes })

const ADD_ORG = `
with p as (
  insert into patchbay.integration_providers (key, name, description, manifest) values ('generic-webhook', 'Webhook', '', '{}')
  on conflict do nothing
)
insert into patchbay.orgs (id, name) values ($1, $1)
on conflict do nothing`

const ADD_SUBSCRIPTIONS = `
with i as (
  insert into patchbay.org_integrations (org_id, provider_key, name) values ($1, 'generic-webhook', 'bench') returning id
)
insert into patchbay.webhook_subscriptions (id, org_id, integration_id, url, event_types, secrets)
select lane.id, $1, i.id, lane.url, string_to_array(lane.types, ','), lane.secrets
from i, unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[]) as lane (id, url, types, secrets)`

/**
 * A new org and all that it subscribes to, in one statement, because the product's own way, one by one, takes half a minute for
 * ten thousand; what is sealed is sealed by the product.
 *
 * @returns the signing secret of each
 */
export async function addSubscriptions(
  pool: pg.Pool,
  keyring: Pick<Keyring, 'seal'>,
  orgId: string,
  subscriptions: readonly { readonly url: string; readonly types: readonly string[] }[],
): Promise<string[]> {
  const ids = subscriptions.map(newId)
  const secrets = subscriptions.map(newSigningSecret)
  const sealed: Buffer[] = []
  await pool.query(ADD_ORG, [orgId])
  for (const [nth, id] of ids.entries()) {
    const text = JSON.stringify([{ secret: secrets[nth], expiresAt: null }])
    sealed.push(await keyring.seal(sealContext(orgId, id, 'secrets'), text))
  }
  const urls = subscriptions.map(({ url }) => url)
  const types = subscriptions.map((subscription) => subscription.types.join(','))
  await pool.query(ADD_SUBSCRIPTIONS, [orgId, ids, urls, types, sealed])
  return secrets
}

const laneTypes = (lane: number) => [laneType(lane), TYPE_OF_ALL]
