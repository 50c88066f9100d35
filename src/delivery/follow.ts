import type { Consequence } from '../core/delivery.ts'
import type { Queryable } from '../db/pool.ts'
import type { Log } from '../telemetry/log.ts'
import type { LaneConfig } from './attempt.ts'
import type { ClaimedRow } from './claim.ts'

/**
 * Disables a subscription that its app refuses. Only as it was when it was claimed: one that somebody mended meanwhile stays as
 * it is. The lane's health is locked first, as by everyone who changes a subscription.
 */
const STOP_SUBSCRIPTION = `
with lane as materialized (
  select h.subscription_id
  from patchbay.subscription_health as h
  where h.subscription_id = $1
  for no key update
)
update patchbay.webhook_subscriptions as s
set is_active = false, needs_attention = true, disabled_reason = $2, revision = s.revision + 1, updated_at = now()
from lane
where s.id = lane.subscription_id and s.is_active and s.deleted_at is null and s.revision = $3`

/** The same of an integration whose credentials its app refuses. */
const STOP_INTEGRATION = `
select from patchbay.disconnect($4, $1, $2, $3) as was_connected where was_connected`

interface FollowDeps {
  readonly db: Queryable
  readonly log: Log
  /** Has the integration's access token refreshed, if it still is the one of this revision. */
  readonly refresh: (integrationId: string, revision: number) => Promise<void>
}

/** What an app's refusal means beyond the try: the subscription or the whole integration stops until a person mends it. */
export function makeFollow({ db, log, refresh }: FollowDeps) {
  async function see(
    row: ClaimedRow,
    { integrationId }: Pick<LaneConfig, 'integrationId'>,
    { stops, reason }: Consequence,
  ): Promise<void> {
    const { subscription_id, subscription_revision, org_id, integration_revision } = row
    if (stops === 'delivery') return
    if (stops === 'token') return refresh(integrationId, integration_revision)
    const { rowCount } =
      stops === 'subscription'
        ? await db.query({
            text: STOP_SUBSCRIPTION,
            values: [subscription_id, reason, subscription_revision],
          })
        : await db.query({
            text: STOP_INTEGRATION,
            values: [integrationId, reason, integration_revision, org_id],
          })
    if (rowCount === 0) return
    log.warn({ org_id, integration_id: integrationId, subscription_id, reason }, `${stops}.refused`)
  }

  const underWay = new Set<Promise<void>>()
  return {
    follow: (row: ClaimedRow, lane: LaneConfig, consequence: Consequence): void => {
      const seen = see(row, lane, consequence)
        .catch((error: unknown) => {
          // The next try that is refused says it again.
          log.warn({ err: error, subscription_id: row.subscription_id }, 'refusal.not_followed')
        })
        .finally(() => underWay.delete(seen))
      underWay.add(seen)
    },
    /** Resolves when all that was begun has ended. */
    settled: async (): Promise<void> => {
      await Promise.all(underWay)
    },
  }
}
