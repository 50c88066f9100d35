import type { Queryable } from '../db/pool.ts'

/** Of what is counted here no more is looked at: with so many rows nobody asks whether they are a few more. */
export const MOST_COUNTED = 1_000_000

/** What is to be done, over all orgs. Counts end at `MOST_COUNTED`. */
export interface Backlog {
  /** Events that are not fanned out yet, and how old the first of them is, in seconds; 0 where there is none. */
  readonly pending: number
  readonly pendingAgeS: number
  /** Deliveries by the state that `webhook_deliveries` shows. */
  readonly ready: number
  readonly inFlight: number
  readonly blocked: number
  readonly held: number
  readonly waiting: number
  /** See `patchbay.owed_age()`. */
  readonly owedAgeS: number
  /** Subscriptions, each in one of these. */
  readonly healthy: number
  readonly failing: number
  readonly circuitOpen: number
  /** By the app that it posts to: a person has to mend something. */
  readonly refused: number
  /** By a person, or because nothing was delivered for days. */
  readonly disabled: number
  /** Integrations that their app has turned away. */
  readonly disconnected: number
  /** Rows of the queue that are gone and not vacuumed, by Postgres's own estimate. */
  readonly deadRows: number
}

const BACKLOG = `
with pending as (
  select count(*) as events from (select from patchbay.outbox_pending limit ${MOST_COUNTED}) as p
),
first_pending as (
  select patchbay.id_time(p.event_id) as at from patchbay.outbox_pending as p order by p.place limit 1
),
owed as (
  select
    count(*) filter (where state = 'ready') as ready,
    count(*) filter (where state = 'in flight') as in_flight,
    count(*) filter (where state = 'blocked') as blocked,
    count(*) filter (where state = 'held') as held,
    count(*) filter (where state = 'waiting') as waiting
  from (
    select case when q.ready then 'ready' when q.lease_token is not null then 'in flight' when q.blocked then 'blocked'
      when q.due_at = 'infinity' then 'held' else 'waiting' end as state
    from patchbay.delivery_queue as q
    limit ${MOST_COUNTED}
  ) as q
),
lanes as (
  select
    count(*) filter (where state = 'healthy') as healthy,
    count(*) filter (where state = 'failing') as failing,
    count(*) filter (where state = 'open') as circuit_open,
    count(*) filter (where state = 'refused') as refused,
    count(*) filter (where state = 'disabled') as disabled
  from (
    select case when s.needs_attention then 'refused' when not s.is_active or not i.is_enabled then 'disabled'
      when h.open_until is not null then 'open' when h.consecutive_failures > 0 then 'failing' else 'healthy' end as state
    from (
      select * from patchbay.webhook_subscriptions as s where s.deleted_at is null limit ${MOST_COUNTED}
    ) as s
    join patchbay.org_integrations as i on i.id = s.integration_id and i.deleted_at is null
    left join patchbay.subscription_health as h on h.subscription_id = s.id
  ) as l
),
integrations as (
  select count(*) as disconnected
  from (
    select from patchbay.org_integrations as i
    where i.disconnected_reason is not null and not i.is_enabled and i.deleted_at is null
    limit ${MOST_COUNTED}
  ) as i
)
select
  pending.events::int as pending,
  coalesce(extract(epoch from now() - (select at from first_pending)), 0)::float8 as "pendingAgeS",
  ready::int, in_flight::int as "inFlight", blocked::int, held::int, waiting::int,
  patchbay.owed_age() as "owedAgeS",
  healthy::int, failing::int, circuit_open::int as "circuitOpen", refused::int, disabled::int,
  disconnected::int,
  coalesce((
    select t.n_dead_tup from pg_stat_user_tables as t where t.relid = 'patchbay.delivery_queue'::regclass
  ), 0)::int as "deadRows"
from pending, owed, lanes, integrations`

export async function readBacklog(db: Queryable): Promise<Backlog> {
  const { rows } = await db.query<{ [Key in keyof Backlog]: number }>({ text: BACKLOG })
  const [backlog] = rows
  if (backlog === undefined) throw new Error('a count returned no row')
  return backlog
}
