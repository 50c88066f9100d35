import type { Queryable } from '../db/pool.ts'

/** What one round of the relay did. */
export interface Relayed {
  readonly events: number
  readonly deliveries: number
  /** It ended before it had taken all that is pending of the orgs that it looked at. */
  readonly isCut: boolean
  /** Orgs beyond this one were not looked at; null: all were. */
  readonly lastOrg: string | null
}

/**
 * Takes what is pending, whoever committed it and in whatever order, and writes a delivery for each subscription that wants
 * it: all in one statement, so a crash leaves an event either pending or fanned out, never half. Who listens is
 * found by index, pattern by pattern, so a subscription that does not want an event costs it nothing.
 *
 * Fair between orgs: it walks those that have something pending and takes a share of each. A batch ends before what it writes
 * grows past `$2` deliveries, the first events of all orgs before the second of any, and takes one event at least: so an org
 * with thousands of subscriptions and of events holds up the others for no longer than one of its events takes.
 *
 * The events of an org are fanned out in the order of their commits, by one relay at a time: two of them could overtake each
 * other. In an ordered lane a delivery enters blocked, and a trigger lets the first of each conversation go.
 *
 * Look-ups stand in `lateral (… offset 0)`, `any (array(…))` and scalar subqueries, see `HOT_SETTINGS`.
 */
const FAN_OUT = `
with recursive relay as materialized (
  select pg_try_advisory_xact_lock(hashtext('patchbay.relay')) as is_mine
),
org as (
  (
    select p.org_id, 1 as nth
    from patchbay.outbox_pending as p
    where (select is_mine from relay) and p.org_id collate "C" > $3
    order by p.org_id collate "C"
    limit 1
  )
  union all
  select next.org_id, org.nth + 1
  from org
  cross join lateral (
    select p.org_id
    from patchbay.outbox_pending as p
    where p.org_id collate "C" > org.org_id
    order by p.org_id collate "C"
    limit 1
  ) as next
  where org.nth < $4::int
),
share as materialized (
  select greatest(1, $1::int / greatest(1, count(*))) as size from org
),
locked as materialized (
  select p.tid, p.event_id as id, org.org_id, p.type, p.conversation_id, p.except_for, p.place,
    row_number() over (partition by org.org_id order by p.place) as nth
  from org
  cross join lateral (
    select p.ctid as tid, p.event_id, p.type, p.conversation_id, p.except_for, p.place
    from patchbay.outbox_pending as p
    where p.org_id collate "C" = org.org_id
    order by p.place
    limit (select size from share)
    for update skip locked
  ) as p
),
-- The events of one type in one org have the same listeners: they are looked for once.
kind as materialized (
  select k.org_id, k.type, k.patterns, heard.by, heard.ids, row_number() over () as number
  from (
    select org_id, type, patchbay.patterns_of(type) as patterns from locked where type is not null group by org_id, type
  ) as k
  cross join lateral (
    select count(*) as by, array_agg(p.subscription_id) as ids
    from (
      select p.subscription_id
      from patchbay.subscription_patterns as p
      where p.org_id = k.org_id and p.pattern = any (k.patterns)
      limit $2::int
    ) as p
  ) as heard
),
sized as materialized (
  select p.tid, p.place, p.id, p.conversation_id, p.except_for, kind.number as kind,
    sum(kind.by::int) over (order by p.nth, kind.by, p.place rows unbounded preceding) - kind.by as before
  from locked as p
  left join kind using (org_id, type)
),
taken as materialized (
  select tid, place, id, conversation_id, except_for, kind from sized where coalesce(before, 0) < $2::int
),
gone as materialized (
  delete from patchbay.outbox_pending as p
  where p.ctid = any (array(select tid from taken))
  returning 1
),
listening as materialized (
  select distinct kind.number as kind, kind.org_id, p.subscription_id
  from kind
  cross join lateral (
    select unnest(kind.ids) as subscription_id
    where kind.by < $2::int
    union all
    -- Of very many the first look saw a part.
    select p.subscription_id
    from patchbay.subscription_patterns as p
    where kind.by >= $2::int and p.org_id = kind.org_id and p.pattern = any (kind.patterns)
    offset 0
  ) as p
  where kind.number in (select kind from taken)
),
wanted as (
  select l.org_id, l.subscription_id, e.id as event_id, e.place,
    case when l.ordering = 'conversation' then e.conversation_id end as ordering_key
  from taken as e
  join (
    select listening.*, enabled.ordering, enabled.integration_id
    from listening
    cross join lateral (
      select s.ordering, s.integration_id
      from patchbay.webhook_subscriptions as s
      where s.id = listening.subscription_id
        and (select i.is_enabled and i.deleted_at is null from patchbay.org_integrations as i where i.id = s.integration_id)
      offset 0
    ) as enabled
  ) as l using (kind)
  where e.except_for is null or e.except_for <> l.integration_id
  order by e.place
),
queued as (
  insert into patchbay.delivery_queue
    (org_id, subscription_id, event_id, ordering_key, place, blocked, ready, due_at)
  select org_id, subscription_id, event_id, ordering_key, case when ordering_key is not null then place end,
    ordering_key is not null, ordering_key is null,
    case when ordering_key is null then now() else 'infinity'::timestamptz end
  from wanted
  returning 1
)
select
  (select count(*) from gone)::int as events,
  (select count(*) from queued)::int as deliveries,
  (select count(*) from gone) < (select count(*) from locked)
    or exists (select from locked where nth = (select size from share)) as "isCut",
  (select org_id from org where nth = $4::int) as "lastOrg"`

export interface FanOutOptions {
  readonly maxDeliveries?: number
  readonly maxOrgs?: number
  /** Only orgs after this one; '': all. */
  readonly afterOrg?: string
}

const NOTHING: Relayed = { events: 0, deliveries: 0, isCut: false, lastOrg: null }

/** Fans out about `limit` events at most. */
export async function fanOut(
  db: Queryable,
  limit: number,
  { maxDeliveries = 5000, maxOrgs = 100, afterOrg = '' }: FanOutOptions = {},
): Promise<Relayed> {
  const { rows } = await db.query<{ [Key in keyof Relayed]: Relayed[Key] }>({
    name: 'fan_out',
    text: FAN_OUT,
    values: [limit, maxDeliveries, afterOrg, maxOrgs],
  })
  return rows[0] ?? NOTHING
}

/** `fanOut` again and again: each call goes on with the orgs that the one before did not come to. It is cut while there are some. */
export function makeRelay(db: Queryable, options: Omit<FanOutOptions, 'afterOrg'> = {}) {
  let afterOrg = ''
  return async function relay(limit: number): Promise<Relayed> {
    const isFirst = afterOrg === ''
    const relayed = await fanOut(db, limit, { ...options, afterOrg })
    afterOrg = relayed.lastOrg ?? ''
    if (relayed.events === 0 && !isFirst) return relay(limit)
    // Where all of a page is locked by others, going on at once would only ask again and again.
    const isCut = relayed.events > 0 && (relayed.isCut || relayed.lastOrg !== null)
    return { ...relayed, isCut }
  }
}
