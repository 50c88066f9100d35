import { sql } from 'drizzle-orm'
import type { DbTx } from '../db/pool.ts'

/**
 * Takes the lane's health before its subscription is changed: a worker that disables a lane takes them in this order too, so
 * the two never wait for each other in a circle.
 */
export async function lockLanes(tx: DbTx, subscriptionIds: readonly string[]): Promise<void> {
  await tx.execute(sql`
    select from patchbay.subscription_health
    where subscription_id = any (${sql.param(subscriptionIds)}::uuid[])
    order by subscription_id
    for no key update`)
}

/**
 * Ends what is owed to these subscriptions, and says so in the log. What is being sent at this moment is left to its outcome:
 * the worker that records it ends it.
 */
export async function cancelOwed(
  tx: DbTx,
  subscriptionIds: readonly string[],
  reason: string,
): Promise<void> {
  await tx.execute(sql`
    with canceled as (
      delete from patchbay.delivery_queue as q
      where q.id in (
        select patchbay.owed_to(s.id) from unnest(${sql.param(subscriptionIds)}::uuid[]) as s (id)
      ) and q.lease_token is null
      returning q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.trigger
    )
    insert into patchbay.webhook_delivery_log
      (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, error, trigger)
    select id, org_id, subscription_id, event_id, attempt, 'canceled', true, ${reason}, trigger
    from canceled`)
}

/** An integration and the hosts that its org lets it call. */
export const HOST = {
  name: 'integration_host',
  text: `
select
  i.provider_key as "providerKey", i.is_enabled as "isEnabled", i.config, i.credentials,
  i.tool_secrets as "toolSecrets",
  (select l.domains from patchbay.egress_allow_lists as l where l.org_id = i.org_id) as domains
from patchbay.org_integrations as i
where i.org_id = $1 and i.id = $2 and i.deleted_at is null`,
}

export interface HostRow {
  readonly providerKey: string
  readonly isEnabled: boolean
  readonly config: Record<string, unknown>
  readonly credentials: Buffer | null
  readonly toolSecrets: Buffer | null
  /** null: whatever the operator allows. */
  readonly domains: readonly string[] | null
}

export interface HealthRow extends Record<string, unknown> {
  readonly id: string
  readonly consecutive_failures: number
  readonly failing_since: string | null
  readonly last_delivered_at: string | null
  readonly last_error: string | null
  readonly is_open: boolean
  readonly next_probe_at: string | null
  readonly owed: number
}

/** Health of a page of subscriptions, with what is owed to each. */
export async function readHealth(
  tx: DbTx,
  orgId: string,
  subscriptionIds: readonly string[],
): Promise<Map<string, HealthRow>> {
  const { rows } = await tx.execute<HealthRow>(sql`
    select
      s.id,
      coalesce(h.consecutive_failures, 0) as consecutive_failures,
      patchbay.iso_time(h.first_failure_at) as failing_since,
      patchbay.iso_time(h.last_delivered_at) as last_delivered_at,
      h.last_error,
      h.open_until is not null as is_open,
      patchbay.iso_time(h.open_until) as next_probe_at,
      (select count(*) from patchbay.owed_to(s.id))::int as owed
    from patchbay.webhook_subscriptions as s
    left join patchbay.subscription_health as h on h.subscription_id = s.id
    where s.org_id = ${orgId} and s.id = any (${sql.param(subscriptionIds)}::uuid[])`)
  return new Map(rows.map((row) => [row.id, row]))
}
