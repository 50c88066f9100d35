import { randomBytes } from 'node:crypto'
import { makeNewId } from '../../src/core/id.ts'
import { Secret } from '../../src/core/secret.ts'
import { makeDataKeyStore } from '../../src/db/data-keys.ts'
import { sealContext } from '../../src/integrations/subscription.ts'
import { openKeyring } from '../../src/security/keyring.ts'
import { makeLocalWrapper } from '../../src/security/local-wrapper.ts'
import { newSigningSecret } from '../../src/security/signature.ts'
import type { EmptyDatabase } from './databases.ts'

const ORGS = 10
const TYPE = 'bench.hang'

const INSERT = `
with i as (
  insert into patchbay.org_integrations (org_id, provider_key, name) values ($1, 'generic-webhook', 'bench') returning id
)
insert into patchbay.webhook_subscriptions (id, org_id, integration_id, url, event_types, secrets)
select lane.id, $1, i.id, lane.url, array[$2], lane.secrets
from i, unnest($3::uuid[], $4::text[], $5::bytea[]) as lane (id, url, secrets)`

/**
 * As many lanes in ten orgs, their URLs in turn. Each org's in one statement, because the product's own way, one by one, takes
 * half a minute for ten thousand; what is sealed is sealed by the product.
 */
export async function addHangingLanes(
  { pool, masterKey }: EmptyDatabase,
  lanes: number,
  urls: readonly string[],
): Promise<void> {
  const newId = makeNewId({ nowMs: Date.now, randomBytes })
  const keyring = await openKeyring({
    wrapper: makeLocalWrapper('MASTER_KEY', () => [new Secret(masterKey)]),
    store: makeDataKeyStore(pool),
    newId,
  })
  for (let org = 0; org < ORGS; org += 1) {
    const orgId = nameOf(org)
    await pool.query('insert into patchbay.orgs (id, name) values ($1, $1)', [orgId])
    const ids = Array.from({ length: lanes / ORGS }, newId)
    const sealed: Buffer[] = []
    for (const id of ids) {
      const text = JSON.stringify([{ secret: newSigningSecret(), expiresAt: null }])
      sealed.push(await keyring.seal(sealContext(orgId, id, 'secrets'), text))
    }
    const urlOfEach = ids.map((_, nth) => `${urls[nth % urls.length]}/hang`)
    await pool.query(INSERT, [orgId, TYPE, ids, urlOfEach, sealed])
  }
}

/** Of each of these lanes so many deliveries become owed. */
export async function oweHangingLanes({ pool }: EmptyDatabase, each: number): Promise<void> {
  await pool.query(
    `select patchbay.emit_event(org, $2, '{}') from unnest($1::text[]) as org, generate_series(1, $3)`,
    [Array.from({ length: ORGS }, (_, org) => nameOf(org)), TYPE, each],
  )
}

function nameOf(org: number): string {
  return `hanging-${org}`
}
