import type { DeliveryStatus, OutcomeKind, Trigger } from '../core/delivery.ts'
import type { Queryable } from '../db/pool.ts'

export interface DeliveryFilter {
  readonly webhookId: string | null
  readonly integrationId: string | null
  readonly status: DeliveryStatus | null
  readonly eventType: string | null
  readonly eventId: string | null
  readonly since: Date | null
  readonly until: Date | null
}

const NO_ID = "'ffffffff-ffff-ffff-ffff-ffffffffffff'"
const BELOW = `least(coalesce($8::uuid, ${NO_ID}), coalesce(patchbay.id_floor($7::timestamptz), ${NO_ID}))`
const FIRST_ID = "'00000000-0000-0000-0000-000000000000'"
const FROM_ID = `greatest(coalesce(patchbay.id_floor($6::timestamptz), ${FIRST_ID}), coalesce($5::uuid, ${FIRST_ID}))`

/**
 * The ids of a page of an org's deliveries, newest first. What is owed is found lane by lane (each by an index of the queue),
 * what is final in the log. Not a named statement, so that the planner sees which filters are set and picks the index; and the
 * bounds stand where they are used, so that it sees those too: of what a sub-select will give it guesses next to nothing, and
 * then it sorts a lane with a million rows.
 */
const PAGE = `
with sub as (
  select s.id
  from patchbay.webhook_subscriptions as s
  where s.org_id = $1 and ($2::uuid is null or s.id = $2) and ($3::uuid is null or s.integration_id = $3)
),
owed as (
  select q.id
  from sub
  cross join lateral (
    (
      select r.id, r.event_id from patchbay.delivery_queue as r
      where r.ready and r.subscription_id = sub.id and r.id < ${BELOW} and r.id >= ${FROM_ID}
        and ($5::uuid is null or r.event_id = $5)
        and ($4::text is null or exists (select from patchbay.outbox_events as e where e.id = r.event_id and e.type = $4))
      order by r.id desc limit $9
    )
    union all
    (
      select w.id, w.event_id from patchbay.delivery_queue as w
      where not w.ready and w.lease_token is null and w.subscription_id = sub.id
        and w.id < ${BELOW} and w.id >= ${FROM_ID}
        and ($5::uuid is null or w.event_id = $5)
        and ($4::text is null or exists (select from patchbay.outbox_events as e where e.id = w.event_id and e.type = $4))
      order by w.id desc limit $9
    )
    union all
    (
      select l.id, l.event_id from patchbay.delivery_queue as l
      where not l.ready and l.due_at < now() + interval '5 minutes' and l.lease_token is not null
        and l.subscription_id = sub.id and l.id < ${BELOW} and l.id >= ${FROM_ID}
        and ($5::uuid is null or l.event_id = $5)
        and ($4::text is null or exists (select from patchbay.outbox_events as e where e.id = l.event_id and e.type = $4))
      order by l.id desc limit $9
    )
  ) as q
  where $10::text is null or $10 = 'owed'
),
final as (
  select l.delivery_id as id
  from patchbay.webhook_delivery_log as l
  where l.org_id = $1 and l.is_final
    and l.delivery_id < ${BELOW} and l.delivery_id >= ${FROM_ID}
    and ($2::uuid is null or l.subscription_id = $2)
    and ($3::uuid is null or l.subscription_id in (select id from sub))
    and ($5::uuid is null or l.event_id = $5)
    and ($4::text is null or exists (select from patchbay.outbox_events as e where e.id = l.event_id and e.type = $4))
    and ($10::text is null or $10 <> 'owed')
    and ($11::text[] is null or l.outcome = any ($11))
    and not exists (select from patchbay.delivery_queue as q where q.id = l.delivery_id)
    and not exists (
      select from patchbay.webhook_delivery_log as later
      where later.org_id = l.org_id and later.delivery_id = l.delivery_id
        and later.is_final and later.created_at > l.created_at
    )
  order by l.delivery_id desc
  limit $9
)
select id from owed union all select id from final
order by id desc
limit $9`

const OUTCOMES: Readonly<Record<DeliveryStatus, readonly OutcomeKind[] | string[] | null>> = {
  owed: null,
  delivered: ['delivered'],
  failed: ['failed', 'throttled', 'gone', 'blocked'],
  expired: ['expired'],
  canceled: ['canceled'],
}

export async function pageOfDeliveries(
  db: Queryable,
  orgId: string,
  filter: DeliveryFilter,
  below: string | null,
  limit: number,
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({
    text: PAGE,
    values: [
      orgId,
      filter.webhookId,
      filter.integrationId,
      filter.eventType,
      filter.eventId,
      filter.since,
      filter.until,
      below,
      limit,
      filter.status,
      filter.status === null ? null : OUTCOMES[filter.status],
    ],
  })
  return rows.map((row) => row.id)
}

export interface DeliveryRow {
  readonly delivery_id: string
  readonly event_id: string
  readonly event_type: string | null
  readonly subscription_id: string
  readonly url: string | null
  readonly status: DeliveryStatus
  readonly attempts: number
  readonly next_attempt_at: Date | null
  readonly last_status_code: number | null
  readonly last_error: string | null
  readonly created_at: Date
  readonly finished_at: Date | null
  /** What an owed delivery waits for, in words. */
  readonly waits_for: string | null
}

/**
 * One by one: for all of a page at once the planner hashes every event of the org, because it cannot know that a look-up by id
 * goes to one partition.
 */
const DELIVERIES = `
select
  d.delivery_id, d.event_id, d.event_type, d.subscription_id, d.url, d.status, d.attempts, d.next_attempt_at,
  d.last_status_code, d.last_error, d.created_at, d.finished_at, d.waits_for
from unnest($2::uuid[]) as page (id)
cross join lateral (
  select * from patchbay.webhook_deliveries as one where one.org_id = $1 and one.delivery_id = page.id offset 0
) as d
order by d.delivery_id desc`

export async function readDeliveries(
  db: Queryable,
  orgId: string,
  ids: readonly string[],
): Promise<DeliveryRow[]> {
  const { rows } = await db.query<DeliveryRow>({
    name: 'read_deliveries',
    text: DELIVERIES,
    values: [orgId, ids],
  })
  return rows
}

export interface AttemptRow {
  readonly attempt: number
  readonly outcome: OutcomeKind | 'canceled'
  readonly status_code: number | null
  readonly duration_ms: number | null
  readonly error: string | null
  readonly response_snippet: string | null
  readonly trigger: Trigger
  readonly created_at: Date
}

const ATTEMPTS = `
select attempt, outcome, status_code, duration_ms, error, response_snippet, trigger, created_at
from patchbay.webhook_delivery_log
where org_id = $1 and delivery_id = $2
order by created_at`

export async function readAttempts(
  db: Queryable,
  orgId: string,
  deliveryId: string,
): Promise<AttemptRow[]> {
  const { rows } = await db.query<AttemptRow>({ text: ATTEMPTS, values: [orgId, deliveryId] })
  return rows
}

export interface EventFilter {
  readonly type: string | null
  readonly conversationId: string | null
  readonly since: Date | null
  readonly until: Date | null
}

export interface EventRow {
  readonly id: string
  readonly org_id: string
  readonly type: string
  readonly conversation_id: string | null
  readonly data: unknown
  readonly occurred_at: Date
  readonly created_at: Date
}

const EVENT_COLUMNS =
  'id, org_id, type, conversation_id, data, occurred_at, patchbay.id_time(id) as created_at'

const EVENTS = `
select ${EVENT_COLUMNS}
from patchbay.outbox_events
where org_id = $1
  and ($2::text is null or type = $2)
  and ($3::text is null or conversation_id = $3)
  and ($4::timestamptz is null or id >= patchbay.id_floor($4))
  and ($5::timestamptz is null or id < patchbay.id_floor($5))
  and ($6::uuid is null or id < $6)
order by id desc
limit $7`

export async function listEvents(
  db: Queryable,
  orgId: string,
  filter: EventFilter,
  below: string | null,
  limit: number,
): Promise<EventRow[]> {
  const { type, conversationId, since, until } = filter
  const { rows } = await db.query<EventRow>({
    text: EVENTS,
    values: [orgId, type, conversationId, since, until, below, limit],
  })
  return rows
}

const EVENT = `select ${EVENT_COLUMNS} from patchbay.outbox_events where org_id = $1 and id = $2`

export async function findEvent(
  db: Queryable,
  orgId: string,
  id: string,
): Promise<EventRow | null> {
  const { rows } = await db.query<EventRow>({ text: EVENT, values: [orgId, id] })
  return rows[0] ?? null
}
