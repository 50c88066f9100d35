import type { Queryable } from '../db/pool.ts'

/** Whether it is done in time, over all orgs. Each is a look at an index, whatever is owed. */
export interface Delay {
  /** How old the first event is that is not fanned out yet, in seconds; 0: there is none. */
  readonly pendingAgeS: number
  /** See `patchbay.owed_age()`. */
  readonly owedAgeS: number
  /** Rows of the queue that are gone and not vacuumed, by Postgres's own estimate. */
  readonly deadRows: number
}

/** What is to be done, over all orgs. Counted row by row: a fifth of a second for a million of them. */
export interface Backlog {
  /** Events that are not fanned out yet. */
  readonly pending: number
  /** Deliveries by the state that `webhook_deliveries` shows. */
  readonly ready: number
  readonly inFlight: number
  readonly blocked: number
  readonly held: number
  readonly waiting: number
  /** Subscriptions, each in one of these. */
  readonly healthy: number
  readonly failing: number
  readonly circuitOpen: number
  /** By the app that it posts to: a person has to mend something. */
  readonly refused: number
  /** By a person, or because nothing was delivered for days. */
  readonly disabled: number
  /** Integrations that their app has turned away. */
  readonly refusedIntegrations: number
}

const DELAY = `
select
  coalesce(extract(epoch from now() - (
    select patchbay.id_time(p.event_id) from patchbay.outbox_pending as p order by p.event_id limit 1
  )), 0)::float8 as "pendingAgeS",
  patchbay.owed_age() as "owedAgeS",
  coalesce((
    select t.n_dead_tup from pg_stat_user_tables as t where t.relid = 'patchbay.delivery_queue'::regclass
  ), 0)::int as "deadRows"`

const BACKLOG = `
with pending as (
  select count(*) as events from patchbay.outbox_pending
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
    from patchbay.webhook_subscriptions as s
    join patchbay.org_integrations as i on i.id = s.integration_id and i.deleted_at is null
    left join patchbay.subscription_health as h on h.subscription_id = s.id
    where s.deleted_at is null
  ) as l
),
integrations as (
  select count(*) as refused
  from patchbay.org_integrations as i
  where i.disconnected_reason is not null and not i.is_enabled and i.deleted_at is null
)
select
  pending.events::int as pending, ready::int, in_flight::int as "inFlight", blocked::int, held::int, waiting::int,
  healthy::int, failing::int, circuit_open::int as "circuitOpen", lanes.refused::int, disabled::int,
  integrations.refused::int as "refusedIntegrations"
from pending, owed, lanes, integrations`

export const readDelay = (db: Queryable): Promise<Delay> => readRow<Delay>(db, DELAY)

export const readBacklog = (db: Queryable): Promise<Backlog> => readRow<Backlog>(db, BACKLOG)

async function readRow<Row extends Delay | Backlog>(db: Queryable, text: string): Promise<Row> {
  const { rows } = await db.query<{ [Key in keyof Row]: Row[Key] }>({ text })
  const [row] = rows
  if (row === undefined) throw new Error('a statement of one row returned none')
  return row
}
