import { AppError, notFound } from '../core/error.ts'
import type { Queryable } from '../db/pool.ts'

/** Manual tries that may wait behind the one that is on its way. */
const MAX_EXTRA_TRIES = 10
const MAX_LOOKS = 3

/**
 * Makes a delivery ready now, marked as manual. One that is owed keeps its place in the schedule (`resume_at`); one that is
 * final is owed again for this one try. One that is being sent has the manual try after that. Out of an ordered lane's line
 * nothing is taken; what is final has left the line, and comes back beside it.
 */
const RETRY = `
with target as (
  select v.delivery_id, v.subscription_id, v.event_id, v.event_type, v.status, v.state, v.waits_for,
    s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null as is_live,
    s.deleted_at is not null or i.deleted_at is not null as is_deleted
  from patchbay.webhook_deliveries as v
  join patchbay.webhook_subscriptions as s on s.id = v.subscription_id
  join patchbay.org_integrations as i on i.id = s.integration_id
  where v.org_id = $1 and v.delivery_id = $2
),
sooner as (
  update patchbay.delivery_queue as q
  set ready = true, trigger = 'manual', due_at = now(),
    resume_trigger = case when q.trigger = 'manual' then q.resume_trigger else q.trigger end,
    resume_at = case q.trigger when 'manual' then q.resume_at when 'test' then null
      else case when q.due_at = 'infinity' then now() else q.due_at end end
  from target as t
  where q.id = t.delivery_id and t.is_live and t.event_type is not null
    and q.lease_token is null and not q.blocked and not (q.ready and q.trigger = 'manual')
  returning q.id
),
after_this_one as (
  update patchbay.delivery_queue as q
  set extra_tries = q.extra_tries + 1
  from target as t
  where q.id = t.delivery_id and t.is_live and q.extra_tries < ${MAX_EXTRA_TRIES}
    and (q.lease_token is not null or (q.ready and q.trigger = 'manual'))
  returning q.id
),
again as (
  insert into patchbay.delivery_queue (id, org_id, subscription_id, event_id, attempt, trigger)
  select t.delivery_id, $1, t.subscription_id, t.event_id, last.attempt + (last.outcome <> 'expired')::int, 'manual'
  from target as t
  cross join lateral (
    select l.attempt, l.outcome
    from patchbay.webhook_delivery_log as l
    where l.org_id = $1 and l.delivery_id = t.delivery_id and l.is_final
    order by l.created_at desc
    limit 1
  ) as last
  where t.status not in ('owed', 'canceled') and t.is_live and t.event_type is not null
  on conflict (id) do nothing
  returning id
)
select is_live, is_deleted, event_type is not null as has_body, status, state, waits_for,
  exists (select from sooner union all select from after_this_one union all select from again) as is_done
from target`

interface RetryRow {
  readonly is_live: boolean
  readonly is_deleted: boolean
  readonly has_body: boolean
  readonly status: string
  readonly state: string
  readonly waits_for: string | null
  /** false, with none of the above against it: it moved on between the look and the change, or has enough tries waiting. */
  readonly is_done: boolean
}

/**
 * Sends a delivery at once, outside its schedule.
 *
 * @throws AppError `NOT_FOUND`; `CONFLICT` where nothing can be sent: its subscription is disabled or deleted, its body is
 * gone, it was canceled, its turn in its conversation has not come, or ten manual tries are waiting
 */
export async function retryDelivery(db: Queryable, orgId: string, id: string): Promise<void> {
  for (let look = 1; look <= MAX_LOOKS; look += 1) {
    const { rows } = await db.query<RetryRow>({ text: RETRY, values: [orgId, id] })
    if (isAccepted(rows[0])) return
  }
  throw conflict(`${MAX_EXTRA_TRIES} manual tries of it are waiting already.`)
}

/** Throws where it never will be. */
function isAccepted(target: RetryRow | undefined): boolean {
  if (target === undefined) throw notFound('delivery')
  if (target.is_deleted) throw conflict('Its subscription was deleted.')
  if (target.status === 'canceled') {
    throw conflict('It was canceled. Recover it with `recover` and the status `canceled`.')
  }
  if (!target.is_live) throw conflict('Its subscription is disabled. Enable it first.')
  if (!target.has_body) throw conflict('The event is past its retention; its body is gone.')
  if (target.state === 'blocked') throw conflict(`It waits for ${target.waits_for}.`)
  return target.is_done
}

const CANCEL = `
with canceled as (
  delete from patchbay.delivery_queue as q
  where q.org_id = $1 and q.id = $2 and q.lease_token is null
  returning q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.trigger
)
insert into patchbay.webhook_delivery_log
  (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, error, trigger)
select id, org_id, subscription_id, event_id, attempt, 'canceled', true, 'canceled through the API', trigger
from canceled`

const STATUS = `
select status, state from patchbay.webhook_deliveries where org_id = $1 and delivery_id = $2`

/**
 * Ends a delivery that is owed. Idempotent.
 *
 * @returns whether it was this call that ended it
 * @throws AppError `NOT_FOUND`; `CONFLICT` where it has ended otherwise, or is being sent at this moment
 */
export async function cancelDelivery(db: Queryable, orgId: string, id: string): Promise<boolean> {
  const { rowCount } = await db.query({ text: CANCEL, values: [orgId, id] })
  if (rowCount === 1) return true
  const { rows } = await db.query<{ status: string; state: string }>({
    text: STATUS,
    values: [orgId, id],
  })
  const [found] = rows
  if (found === undefined) throw notFound('delivery')
  if (found.status === 'canceled') return false
  if (found.status !== 'owed') throw conflict(`It is ${found.status} already.`)
  throw conflict('It is being sent at this moment: try again in a few seconds.')
}

function conflict(message: string): AppError {
  return new AppError('CONFLICT', message, { details: [{ path: 'deliveryId', message }] })
}
