import { sql } from 'drizzle-orm'
import type { DbTx } from '../db/pool.ts'

/** Makes what was held while subscriptions were disabled ready again, in the transaction that enables them. */
export async function resumeHeld(tx: DbTx, subscriptionIds: readonly string[]): Promise<void> {
  await tx.execute(sql`
    update patchbay.delivery_queue
    set ready = true, due_at = now()
    where subscription_id = any (${sql.param(subscriptionIds)}::uuid[])
      and not ready and lease_token is null and due_at = 'infinity'`)
}

/** Ends everything that is owed to these subscriptions, and says so in the log. */
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
      )
      returning q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.trigger
    )
    insert into patchbay.webhook_delivery_log
      (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, error, trigger)
    select id, org_id, subscription_id, event_id, attempt, 'canceled', true, ${reason}, trigger
    from canceled`)
}

export interface HealthRow extends Record<string, unknown> {
  readonly id: string
  readonly consecutive_failures: number
  readonly last_delivered_at: string | null
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
      to_char(h.last_delivered_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as last_delivered_at,
      (select count(*) from patchbay.owed_to(s.id))::int as owed
    from patchbay.webhook_subscriptions as s
    left join patchbay.subscription_health as h on h.subscription_id = s.id
    where s.org_id = ${orgId} and s.id = any (${sql.param(subscriptionIds)}::uuid[])`)
  return new Map(rows.map((row) => [row.id, row]))
}
