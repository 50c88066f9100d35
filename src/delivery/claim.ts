import type { Trigger } from '../core/delivery.ts'
import type { Queryable } from '../db/pool.ts'

/** A claimed delivery. Until `lease_token` is given back, nobody else may send it. */
export interface ClaimedRow {
  readonly delivery_id: string
  readonly org_id: string
  readonly subscription_id: string
  readonly subscription_revision: number
  readonly integration_revision: number
  readonly lease_token: string
  readonly attempt: number
  readonly step: number
  readonly trigger: Trigger
  readonly is_resumable: boolean
  readonly event_id: string
  /** Of the event, when it was claimed; null: its subscription takes events of any age. */
  readonly age_s: number | null
  /** After the claim: the moment that a rate-limited lane has for it. null: at once. */
  readonly send_after_ms: number | null
  /** Its lane is failing, or has never delivered. */
  readonly is_unproven: boolean
  /** Others of its conversation wait for its end. */
  readonly is_in_order: boolean
}

export interface Claim {
  /** Rows at most, over all lanes. */
  readonly slots: number
  /** Rows at most of one lane. */
  readonly perLane: number
  /** Lanes that may have another number of rows, and which. */
  readonly lanesWithRoom: readonly string[]
  readonly rooms: readonly number[]
  /** Rows at most of all unproven lanes together. */
  readonly unprovenSlots: number
  /** Only lanes that are proven, with the walk past all others. */
  readonly isProvenOnly: boolean
  /** Lanes at most; and only those after this subscription id. */
  readonly lanes: number
  readonly afterLane: string
  /** Lanes that have enough in flight here already. */
  readonly busyLanes: readonly string[]
  readonly leaseMs: number
  readonly leaseToken: string
}

/** How far ahead a claim takes moments of a rate-limited lane: longer than a poll, so that no moment passes unused. */
const RATE_HORIZON_MS = 500
/** A little slower than asked, so that what leaves late does not put one more into a receiver's second. */
const RATE_MARGIN = 1.05

/** As a range, because the order by id alone, of all lanes, would then serve as well, and costs a scan of the others' rows. */
const IN_LANE = 'q.subscription_id >= a.subscription_id and q.subscription_id <= a.subscription_id'
const FIRST_IN_LINE = `
    select line.tid, row_number() over () as nth
    from (
      select q.ctid as tid
      from patchbay.delivery_queue as q
      where q.ready and q.trigger not in ('manual', 'test') and ${IN_LANE}
      order by q.subscription_id, q.id
      limit a.size
      for update skip locked
    ) as line
  `

/**
 * Claims fairly: walks the lanes that have ready work by a loose index scan and takes a share of each, so a lane with a
 * million rows costs its neighbours nothing.
 *
 * - A lane to which nothing may be sent is returned with no delivery in it, to be held: see `holdLanes`.
 * - What a person asked for comes before what waits in line. A lane with an open circuit gives nothing else, but one probe
 *   when its time has come.
 * - Lanes that are failing, or have never delivered, share a part of the slots: endpoints that hang until the deadline may
 *   fill that part, and no more. While they do, and in every second claim of a long walk that has some of them in flight, the
 *   walk goes past them: ten thousand of them in a row keep nobody waiting.
 * - A lane with a rate gives as many as it has moments in the next half second, and each row the moment that is its own:
 *   the moments are taken from the lane's row, so all workers together keep the rate.
 *
 * Rows are leased by their place in the table (`ctid`): they are locked, so nobody moves them in between. One that somebody
 * moved just before it was locked is left for the next claim.
 *
 * Look-ups stand in `lateral (… offset 0)` and `any (array(…))`, see `HOT_SETTINGS`.
 */
const makeClaim = (isBehind: (id: string) => string) => `
with recursive lane as (
  (
    select q.subscription_id, 1 as nth
    from patchbay.delivery_queue as q
    where q.ready and q.subscription_id ${isBehind('$4::uuid')}
    order by q.subscription_id
    limit 1
  )
  union all
  select next.subscription_id, lane.nth + 1
  from lane
  cross join lateral (
    select q.subscription_id
    from patchbay.delivery_queue as q
    where q.ready and q.subscription_id ${isBehind('lane.subscription_id')}
    order by q.subscription_id
    limit 1
  ) as next
  where lane.nth < $3::int
),
checked as materialized (
  select
    lane.subscription_id, s.revision as subscription_revision, i.revision as integration_revision,
    coalesce(s.is_active and s.deleted_at is null and i.is_enabled and i.deleted_at is null, false) as is_live,
    h.open_until is not null as is_open, s.rate_limit, s.max_age_seconds is not null as has_max_age, room.size as room,
    not coalesce(h.is_proven, false) as is_unproven
  from lane
  left join lateral (
    select * from patchbay.webhook_subscriptions as s where s.id = lane.subscription_id offset 0
  ) as s on true
  left join lateral (select * from patchbay.org_integrations as i where i.id = s.integration_id offset 0) as i on true
  left join lateral (
    select * from patchbay.subscription_health as h where h.subscription_id = lane.subscription_id offset 0
  ) as h on true
  left join unnest($8::uuid[], $9::int[]) as room (subscription_id, size) on room.subscription_id = lane.subscription_id
  where lane.subscription_id <> all ($5::uuid[])
),
probing as materialized (
  select h.subscription_id
  from patchbay.subscription_health as h
  where h.subscription_id = any (array(select subscription_id from checked where is_live and is_open))
    and h.open_until <= now()
  for update skip locked
),
paced as materialized (
  select h.subscription_id, greatest(h.next_slot_at, now()) as from_at
  from patchbay.subscription_health as h
  where h.subscription_id = any (array(select subscription_id from checked where is_live and rate_limit is not null))
    and greatest(h.next_slot_at, now()) < now() + interval '${RATE_HORIZON_MS} ms'
  for update skip locked
),
share as materialized (
  select greatest(1, ceil($1::float8 / greatest(1, count(*))))::int as size
  from checked as c
  left join paced as r using (subscription_id)
  where c.is_live and (c.rate_limit is null or r.subscription_id is not null) and (not c.is_unproven or $10::int > 0)
),
allowed as materialized (
  select
    c.subscription_id, c.is_open and p.subscription_id is null as is_urgent_only, p.subscription_id is not null as is_probe,
    c.is_unproven, r.from_at, ${RATE_MARGIN} / c.rate_limit as gap_s, given.room,
    least(
      coalesce(given.room, 1),
      case when c.rate_limit is null then 2147483647
        else ceil(extract(epoch from now() + interval '${RATE_HORIZON_MS} ms' - r.from_at) * c.rate_limit / ${RATE_MARGIN}) end
    )::int as size
  from checked as c
  left join probing as p using (subscription_id)
  left join paced as r using (subscription_id)
  cross join lateral (
    select case when p.subscription_id is null then least(coalesce(c.room, $2::int), (select size from share)) end as room
  ) as given
  where c.is_live and (c.rate_limit is null or r.subscription_id is not null)
),
urgent as materialized (
  select a.subscription_id, q.tid, q.id
  from allowed as a
  cross join lateral (
    select q.ctid as tid, q.id
    from patchbay.delivery_queue as q
    where q.ready and q.trigger in ('manual', 'test') and ${IN_LANE}
    order by q.subscription_id, q.id
    limit a.size
    for update skip locked
  ) as q
  where (select exists (select from patchbay.delivery_queue as u where u.ready and u.trigger in ('manual', 'test')))
),
proven as materialized (
  select a.subscription_id, q.tid, q.nth
  from allowed as a
  cross join lateral (${FIRST_IN_LINE}) as q
  where not a.is_urgent_only and not a.is_unproven
),
unproven as materialized (
  select a.subscription_id, q.tid, q.nth
  from (select * from allowed where not is_urgent_only and is_unproven order by random()) as a
  cross join lateral (${FIRST_IN_LINE}) as q
  limit $10::int
),
-- In each lane what a person asked for stands first.
in_lane as materialized (
  select subscription_id, tid, false as is_late, row_number() over (partition by subscription_id order by id) as nth
  from urgent
  union all
  select late.subscription_id, late.tid, true, late.nth + coalesce(first.count, 0)
  from (select * from proven union all select * from unproven) as late
  left join (select subscription_id, count(*) from urgent group by subscription_id) as first using (subscription_id)
),
fitting as materialized (
  select l.tid, l.subscription_id, l.nth, l.is_late, a.is_unproven, coalesce(l.nth >= a.room, false) as is_last,
    extract(epoch from a.from_at - now()) * 1000 + (l.nth - 1) * a.gap_s * 1000 as send_after_ms
  from in_lane as l
  join allowed as a using (subscription_id)
  where l.nth <= a.size
),
-- Of unproven lanes together, no more than their part.
picked as materialized (
  select tid, subscription_id, nth, is_last, send_after_ms
  from (
    select * from fitting where not is_unproven
    union all
    (select * from fitting where is_unproven order by nth, is_late, random() limit $10::int)
  ) as f
  order by nth, is_late, random()
  limit $1::int
),
marked as (
  update patchbay.subscription_health as h
  set
    next_slot_at = case when t.from_at is null then h.next_slot_at
      else t.from_at + make_interval(secs => t.taken * t.gap_s) end,
    open_until = case when t.is_probe then now() + make_interval(secs => $6::float8 / 1000) else h.open_until end,
    probe_at = case when t.is_probe then now() + make_interval(secs => $6::float8 / 1000) else h.probe_at end,
    probe_token = case when t.is_probe then $7::uuid else h.probe_token end
  from (
    select a.subscription_id, a.from_at, a.gap_s, a.is_probe, max(p.nth) as taken
    from allowed as a
    join picked as p using (subscription_id)
    where a.from_at is not null or a.is_probe
    group by a.subscription_id, a.from_at, a.gap_s, a.is_probe
  ) as t
  where h.subscription_id = t.subscription_id
    and h.subscription_id = any (array(select subscription_id from allowed where from_at is not null or is_probe))
),
leased as materialized (
  update patchbay.delivery_queue as q
  set ready = false, lease_token = $7::uuid, due_at = now() + make_interval(secs => $6::float8 / 1000)
  from picked as t
  where q.ctid = t.tid and q.ctid = any (array(select tid from picked))
  returning q.id, q.org_id, q.subscription_id, q.event_id, q.attempt, q.step::int as step, q.trigger,
    q.resume_at is not null as is_resumable, t.send_after_ms::float8 as send_after_ms,
    q.ordering_key is not null as is_in_order, t.is_last
)
select
  null as kind, l.id, l.org_id, l.subscription_id, c.subscription_revision, c.integration_revision, l.attempt, l.step,
  l.trigger, l.is_resumable, l.event_id,
  case when c.has_max_age then extract(epoch from now() - patchbay.id_time(l.event_id))::float8 end as age_s,
  l.send_after_ms, c.is_unproven, l.is_in_order, l.is_last
from leased as l
join checked as c using (subscription_id)
union all
select 'stopped', null, null, c.subscription_id, null, null, null, null, null, null, null, null, null, null, null, null
from checked as c
where not c.is_live or c.is_open
union all
(
  select 'walked', null, null, w.subscription_id, null, null, w.nth, null, null, null, null, null, null, null, null, null
  from lane as w
  order by w.nth desc
  limit 1
)`

const ALL_LANES = { name: 'claim_due', text: makeClaim((id) => `> ${id}`) }
/** Where a lane that is not proven follows the last proven one, the walk stops there once and goes on with the next proven one. */
const PROVEN_LANES = {
  name: 'claim_proven',
  text: makeClaim(
    (id) => `>= (
      select h.subscription_id
      from patchbay.subscription_health as h
      where h.is_proven and h.subscription_id > ${id}
      order by h.subscription_id
      limit 1
    )`,
  ),
}

export interface Claimed {
  readonly deliveries: ClaimedRow[]
  /** Lanes with ready work that may not be sent now: disabled, deleted, or with an open circuit. */
  readonly stoppedLanes: string[]
  /** A lane gave all that was asked of it, so it may have more. */
  readonly isCut: boolean
  /** How many lanes with ready work it looked at, and the last of them; null: there was none. */
  readonly walked: number
  readonly lastLane: string | null
}

/** The columns of a claim, in their order. As arrays, because an object for each row whose members are set by name takes thrice the time. */
type Row =
  | [
      kind: null,
      deliveryId: string,
      orgId: string,
      subscriptionId: string,
      subscriptionRevision: number,
      integrationRevision: number,
      attempt: number,
      step: number,
      trigger: Trigger,
      isResumable: boolean,
      eventId: string,
      ageS: number | null,
      sendAfterMs: number | null,
      isUnproven: boolean,
      isInOrder: boolean,
      isLast: boolean,
    ]
  | [kind: 'stopped', deliveryId: null, orgId: null, subscriptionId: string]
  | [
      kind: 'walked',
      deliveryId: null,
      orgId: null,
      subscriptionId: string,
      subscriptionRevision: null,
      integrationRevision: null,
      nth: number,
    ]

export async function claimDue(db: Queryable, claim: Claim): Promise<Claimed> {
  const { rows } = await db.query<Row>({
    ...(claim.isProvenOnly ? PROVEN_LANES : ALL_LANES),
    rowMode: 'array',
    values: [
      claim.slots,
      claim.perLane,
      claim.lanes,
      claim.afterLane,
      claim.busyLanes,
      claim.leaseMs,
      claim.leaseToken,
      claim.lanesWithRoom,
      claim.rooms,
      claim.isProvenOnly ? 0 : claim.unprovenSlots,
    ],
  })
  const deliveries: ClaimedRow[] = []
  const stoppedLanes: string[] = []
  let isCut = false
  let walked = 0
  let lastLane: string | null = null
  for (const row of rows) {
    if (row[0] === null) {
      deliveries.push({
        delivery_id: row[1],
        org_id: row[2],
        subscription_id: row[3],
        subscription_revision: row[4],
        integration_revision: row[5],
        lease_token: claim.leaseToken,
        attempt: row[6],
        step: row[7],
        trigger: row[8],
        is_resumable: row[9],
        event_id: row[10],
        age_s: row[11],
        send_after_ms: row[12],
        is_unproven: row[13],
        is_in_order: row[14],
      })
      isCut ||= row[15]
    } else if (row[0] === 'stopped') stoppedLanes.push(row[3])
    else {
      walked = row[6]
      lastLane = row[3]
    }
  }
  return { deliveries, stoppedLanes, isCut, walked, lastLane }
}
