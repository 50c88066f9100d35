import { AppError, notFound } from '../core/error.ts'
import type { Queryable } from '../db/pool.ts'

/** One event for one subscription, and its delivery, which is tried once whatever the circuit says. */
const PING = `
with target as (
  select s.id, s.org_id, s.is_active and i.is_enabled as is_live
  from patchbay.webhook_subscriptions as s
  join patchbay.org_integrations as i on i.id = s.integration_id
  where s.org_id = $1 and s.integration_id = $2 and s.id = $3 and s.deleted_at is null and i.deleted_at is null
),
event as (
  insert into patchbay.outbox_events (id, org_id, type, data, occurred_at, only_for)
  select patchbay.new_id(), t.org_id, 'webhook.test',
    jsonb_build_object('webhookId', t.id, 'message', 'A test, sent because somebody asked for it.'), now(), t.id
  from target as t
  where t.is_live
  returning id, org_id, only_for
),
delivery as (
  insert into patchbay.delivery_queue (org_id, subscription_id, event_id, trigger)
  select org_id, only_for, id, 'test' from event
  returning id, event_id
)
select t.is_live, d.event_id, d.id as delivery_id from target as t left join delivery as d on true`

interface PingRow {
  readonly is_live: boolean
  readonly event_id: string
  readonly delivery_id: string
}

/** Sends a `webhook.test` event to one subscription alone. Throws `CONFLICT` where it is disabled. */
export async function pingSubscription(
  db: Queryable,
  orgId: string,
  integrationId: string,
  webhookId: string,
): Promise<{ readonly eventId: string; readonly deliveryId: string }> {
  const { rows } = await db.query<PingRow & Record<string, unknown>>({
    text: PING,
    values: [orgId, integrationId, webhookId],
  })
  const [row] = rows
  if (row === undefined) throw notFound('webhook')
  if (!row.is_live) {
    throw new AppError('CONFLICT', 'The subscription is disabled. Enable it first.')
  }
  return { eventId: row.event_id, deliveryId: row.delivery_id }
}
