import type { Actor } from '../core/actor.ts'
import { AppError, notFound } from '../core/error.ts'
import { type Recoverable, windowProblem } from '../core/recovery.ts'
import type { Queryable } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import type { WriteAudit } from './history.ts'

/**
 * What a window holds that can be sent again to one subscription, each event once.
 *
 * - failed, canceled: deliveries whose newest end is that.
 * - missed: events that it wants and has no delivery of, of moments at which it was disabled, did not exist yet, or wanted
 *   them and was disabled before they were relayed.
 *
 * Times are the events'. What is not fanned out yet is not missed, nor what was answered where it was asked.
 */
const MATCHED = `
  select l.event_id, l.delivery_id
  from patchbay.webhook_delivery_log as l
  where l.org_id = $1 and l.subscription_id = $2 and l.is_final
    and l.delivery_id >= patchbay.id_floor($3::timestamptz)
    and l.event_id >= patchbay.id_floor($3) and l.event_id < patchbay.id_floor($4::timestamptz)
    and (
      ('failed' = any ($5::text[]) and l.outcome in ('failed', 'throttled', 'gone', 'blocked'))
      or ('canceled' = any ($5) and l.outcome = 'canceled')
    )
    and l.trigger <> 'test'
    and exists (select from patchbay.outbox_events as e where e.id = l.event_id)
    and not exists (select from patchbay.delivery_queue as q where q.id = l.delivery_id)
    and not exists (
      select from patchbay.webhook_delivery_log as later
      where later.org_id = l.org_id and later.delivery_id = l.delivery_id and later.is_final and later.created_at > l.created_at
    )
  union all
  select e.id, null::uuid
  from patchbay.outbox_events as e
  join patchbay.webhook_subscriptions as s on s.id = $2
  where 'missed' = any ($5) and e.org_id = $1 and e.only_for is null
    and e.id >= patchbay.id_floor($3) and e.id < patchbay.id_floor($4)
    and s.event_types && patchbay.patterns_of(e.type)
    and (e.except_for is null or e.except_for <> s.integration_id)
    and e.id not in (
      select q.event_id from patchbay.delivery_queue as q where q.id in (select patchbay.owed_to($2))
    )
    and e.id not in (select p.event_id from patchbay.outbox_pending as p where p.org_id = $1)
    and not exists (
      select from patchbay.webhook_delivery_log as l where l.event_id = e.id and l.subscription_id = $2
    )
    and coalesce((
      select not t.is_live or t.event_types && patchbay.patterns_of(e.type)
      from patchbay.subscription_states as t
      where t.subscription_id = $2 and t.at <= patchbay.id_moment(e.id)
      order by t.at desc
      limit 1
    ), true)`

const COUNT = `select count(*)::int as matched from (${MATCHED}) as m`

const BEGIN = `
with found as materialized (${MATCHED}),
recovery as (
  insert into patchbay.recoveries
    (org_id, subscription_id, since, until, statuses, matched, requested_by, state, finished_at)
  select $1, $2, $3, $4, $5, count(*), $6, case when count(*) = 0 then 'done' else 'running' end,
    case when count(*) = 0 then now() end
  from found
  on conflict do nothing
  returning id
),
items as (
  insert into patchbay.recovery_items (org_id, recovery_id, event_id, delivery_id)
  select $1, r.id, f.event_id, f.delivery_id from recovery as r, found as f
)
select id, (select count(*) from found)::int as matched from recovery`

const RECOVERY = `
select id, state, matched, queued, skipped, since, until, statuses, created_at, finished_at
from patchbay.recoveries
where org_id = $1 and subscription_id = $2 and id = $3`

const TARGET = `
select s.is_active and i.is_enabled as is_live
from patchbay.webhook_subscriptions as s
join patchbay.org_integrations as i on i.id = s.integration_id
where s.org_id = $1 and s.integration_id = $2 and s.id = $3 and s.deleted_at is null and i.deleted_at is null`

export interface RecoveryRequest {
  readonly orgId: string
  readonly integrationId: string
  readonly webhookId: string
  readonly since: Date
  /** Default: now. */
  readonly until: Date | null
  readonly statuses: readonly Recoverable[]
}

interface RecoveryRow {
  readonly id: string
  readonly state: 'running' | 'done' | 'canceled'
  readonly matched: number
  readonly queued: number
  readonly skipped: number
  readonly since: Date
  readonly until: Date
  readonly statuses: Recoverable[]
  readonly created_at: Date
  readonly finished_at: Date | null
}

interface RecoverDeps {
  readonly inOrg: InOrg
  readonly audit: WriteAudit
  readonly nowMs: () => number
  readonly retentionDays: number
}

/** Sending again, in bulk. What matches is written down once; `pumpRecoveries` queues it, a little at a time. */
export function makeRecover({ inOrg, audit, nowMs, retentionDays }: RecoverDeps) {
  async function check(db: Queryable, request: RecoveryRequest): Promise<unknown[]> {
    const { orgId, integrationId, webhookId, since, statuses } = request
    const until = request.until ?? new Date(nowMs())
    const target = await db.query<{ is_live: boolean }>({
      text: TARGET,
      values: [orgId, integrationId, webhookId],
    })
    const [row] = target.rows
    if (row === undefined) throw notFound('webhook')
    const window = { sinceMs: since.getTime(), untilMs: until.getTime() }
    const problem = windowProblem(window, nowMs(), retentionDays)
    if (problem !== null) {
      throw new AppError('INVALID_BODY', `${problem.path}: ${problem.message}`, {
        details: [problem],
      })
    }
    if (!row.is_live) {
      throw new AppError('CONFLICT', 'The subscription is disabled. Enable it first.')
    }
    return [orgId, webhookId, since, until, statuses]
  }

  async function find(db: Queryable, orgId: string, webhookId: string, id: string) {
    const { rows } = await db.query<RecoveryRow & Record<string, unknown>>({
      text: RECOVERY,
      values: [orgId, webhookId, id],
    })
    const [row] = rows
    if (row === undefined) throw notFound('recovery')
    return toRecovery(row)
  }

  return {
    get: (orgId: string, webhookId: string, id: string) =>
      inOrg(orgId, (_, db) => find(db, orgId, webhookId, id)),

    /** How many would be sent again; nothing is. */
    async count(request: RecoveryRequest): Promise<number> {
      return inOrg(request.orgId, async (_, db) => {
        const values = await check(db, request)
        const { rows } = await db.query<{ matched: number }>({ text: COUNT, values })
        return rows[0]?.matched ?? 0
      })
    },

    /** Throws `CONFLICT` while another recovery of this subscription is running. */
    async begin(request: RecoveryRequest, by: Actor) {
      const { orgId, webhookId, statuses } = request
      return inOrg(orgId, async (tx, db) => {
        const values = await check(db, request)
        const { rows } = await db.query<{ id: string; matched: number }>({
          text: BEGIN,
          values: [...values, by.principalId],
        })
        const [begun] = rows
        if (begun === undefined) {
          throw new AppError('CONFLICT', 'A recovery of this subscription is running already.')
        }
        const detail = { recoveryId: begun.id, statuses, matched: begun.matched }
        const action = 'webhook.recovery_started'
        await audit({ orgId, by, action, target: webhookId, detail }, tx)
        return find(db, orgId, webhookId, begun.id)
      })
    },
  }
}

function toRecovery(row: RecoveryRow) {
  return {
    id: row.id,
    state: row.state,
    matched: row.matched,
    queued: row.queued,
    skipped: row.skipped,
    since: row.since.toISOString(),
    until: row.until.toISOString(),
    statuses: row.statuses,
    createdAt: row.created_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
  }
}
