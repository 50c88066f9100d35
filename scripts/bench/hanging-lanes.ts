import type { EmptyDatabase } from './databases.ts'
import { addSubscriptions, openOwnKeyring } from './lanes.ts'

const ORGS = 10
const TYPE = 'bench.hang'

/** As many lanes in ten orgs, their URLs in turn. */
export async function addHangingLanes(
  database: EmptyDatabase,
  lanes: number,
  urls: readonly string[],
): Promise<void> {
  const keyring = await openOwnKeyring(database)
  const subscriptions = Array.from({ length: lanes / ORGS }, (_, nth) => ({
    url: `${urls[nth % urls.length]}/hang`,
    types: [TYPE],
  }))
  for (let org = 0; org < ORGS; org += 1) {
    await addSubscriptions(database.pool, keyring, nameOf(org), subscriptions)
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
