import type { Queryable } from '../db/pool.ts'

/** By how much the app's clock may be behind ours, and the second that it leaves off. */
const CLOCK_SLACK_S = 5

const DISCONNECT = `
select patchbay.disconnect(i.org_id, i.id, $3) as "wasConnected"
from patchbay.org_integrations as i
where i.org_id = $1 and i.id = $2 and i.updated_at <= to_timestamp($4) + interval '${CLOCK_SLACK_S} seconds'`

/**
 * The app ended it: what is owed is held until it is installed again. What the app says late, for we could not be reached, does
 * not end what was installed again since: where it is true all the same, the next refused try says so. Says whether it was
 * connected.
 */
export async function disconnect(
  tx: Queryable,
  orgId: string,
  integrationId: string,
  reason: string,
  occurredAtS: number,
): Promise<boolean> {
  const { rows } = await tx.query<{ wasConnected: boolean }>({
    text: DISCONNECT,
    values: [orgId, integrationId, reason, occurredAtS],
  })
  return rows[0]?.wasConnected === true
}
