import type pg from 'pg'
import { ORG } from './body.ts'

/** Has half of all events; the org that is called `ORG` a twentieth. */
export const BIG_ORG = 'big'
/**
 * Has one lane, with about a hundredth of all deliveries: many for a lane, few for an org. Who guesses what both conditions
 * leave by multiplying their shares is wrong by the most here.
 */
export const NARROW_ORG = 'narrow'

const ORGS = [BIG_ORG, ORG, NARROW_ORG, ...Array.from({ length: 18 }, (_, n) => `org-${n}`)]
/** Of 200 events, in the order of `ORGS`. */
const SHARES = [100, 10, 18, ...Array.from({ length: 18 }, () => 4)]
const ORG_OF_EACH = SHARES.flatMap((share, nth) => Array.from({ length: share }, () => ORGS[nth]))

/** Shares no factor with 200: a day of few events has some of every org, too. */
const STRIDE = 73

const DAYS = 10
/** Subscriptions of an org that every event goes to, but of the narrow one. */
const LISTENERS = 10
/** Log rows that an event makes on average. */
const ROWS_PER_EVENT = (0.91 * LISTENERS + 0.09) * 1.05

/**
 * A history of about `rows` log rows over ten days that are past, in partitions as the product makes them: each event goes to
 * ten subscriptions, one delivery in twenty needed a second try, one in five hundred failed for good. Every org has one
 * subscription more, which has had nothing since the first day.
 *
 * Loaded before the indexes are built, and vacuumed and analyzed partition by partition, as autovacuum does.
 */
export async function fillHistory(pool: pg.Pool, rows: number): Promise<void> {
  await addOrgs(pool)
  const events = Math.round(rows / DAYS / ROWS_PER_EVENT)
  for (let daysAgo = DAYS + 1; daysAgo > 1; daysAgo -= 1) {
    await addDay(pool, { daysAgo, events, isFirst: daysAgo === DAYS + 1 })
  }
}

/** Those that events go to, and as the last the one that is quiet. */
export async function subscriptionsOf(pool: pg.Pool, orgId: string): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    'select id from patchbay.webhook_subscriptions where org_id = $1 order by id',
    [orgId],
  )
  return rows.map((row) => row.id)
}

async function addOrgs(pool: pg.Pool): Promise<void> {
  await pool.query(
    'insert into patchbay.orgs (id, name) select id, id from unnest($1::text[]) as id',
    [ORGS],
  )
  await pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('generic-webhook', 'Webhook', '', '{}') on conflict do nothing`,
  )
  await pool.query(
    `with i as (
       insert into patchbay.org_integrations (org_id, provider_key, name)
       select id, 'generic-webhook', 'Hooks' from unnest($1::text[]) as id
       returning org_id, id
     )
     insert into patchbay.webhook_subscriptions (org_id, integration_id, url, event_types, secrets)
     select org_id, id, 'https://hooks.example.com/', '{*}', ''
     from i
     cross join lateral generate_series(0, case when org_id = $2 then 1 else $3::int end)`,
    [ORGS, NARROW_ORG, LISTENERS],
  )
}

interface Day {
  readonly daysAgo: number
  readonly events: number
  /** The quiet subscriptions have their only rows then. */
  readonly isFirst: boolean
}

interface DayRow {
  readonly name: string
  readonly from_at: Date
  readonly lower: string
  readonly upper: string
}

const DAY = `
select to_char(d, 'YYYYMMDD') as name, d as from_at, patchbay.id_floor(d) as lower, patchbay.id_floor(d + interval '1 day') as upper
from (select date_trunc('day', now(), 'UTC') - make_interval(days => $1) as d) as day`

const FILL_EVENTS = `
insert into patchbay.$events (id, org_id, type, data, occurred_at)
select uuidv7(at - clock_timestamp()), ($1::text[])[n::bigint * $4 % cardinality($1::text[]) + 1], 'chat.turn.completed', '{}', at
from generate_series(0, $2::int - 1) as n
cross join lateral (select $3::timestamptz + interval '1 day' * (n / $2::float8) as at) as t`

/** A delivery is made some milliseconds after its event; a second try comes five seconds after the first. */
const FILL_LOG = `
with s as (
  select org_id, id, lead(id) over (partition by org_id order by id) is null as is_quiet
  from patchbay.webhook_subscriptions
),
e as materialized (
  select id, org_id, occurred_at, row_number() over (partition by org_id order by id) as n
  from patchbay.$events
)
insert into patchbay.$log
  (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, status_code, duration_ms, error, trigger, created_at)
select d.id, e.org_id, s.id, e.id, t.attempt,
  case when t.is_last and d.dice >= 0.002 then 'delivered' else 'failed' end, t.is_last,
  case when t.is_last and d.dice >= 0.002 then 200 else 503 end, 12,
  case when t.is_last and d.dice >= 0.002 then null else 'HTTP 503' end, 'schedule', e.occurred_at + interval '5 s' * t.attempt
from e
join s on s.org_id = e.org_id and (not s.is_quiet or ($1 and e.n <= 100))
cross join lateral (
  select uuidv7(e.occurred_at + interval '20 ms' - clock_timestamp()) as id, random() as dice
) as d
cross join lateral (
  select 1 as attempt, d.dice >= 0.05 as is_last
  union all
  select 2, true where d.dice < 0.05
) as t`

async function addDay(pool: pg.Pool, { daysAgo, events, isFirst }: Day): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query("set statement_timeout = 0; set maintenance_work_mem = '512MB'")
    const {
      rows: [day],
    } = await client.query<DayRow>(DAY, [daysAgo])
    if (day === undefined) throw new Error('no such day')
    const of = (text: string) =>
      text
        .replaceAll('$events', `outbox_events_${day.name}`)
        .replaceAll('$log', `webhook_delivery_log_${day.name}`)
    const parents = { $events: 'outbox_events', $log: 'webhook_delivery_log' }
    for (const [table, parent] of Object.entries(parents)) {
      const bare = `(like patchbay.${parent} including defaults including constraints including statistics)`
      await client.query(of(`create table patchbay.${table} ${bare}`))
    }
    await client.query(of(FILL_EVENTS), [ORG_OF_EACH, events, day.from_at, STRIDE])
    await client.query(of(FILL_LOG), [isFirst])
    for (const [table, parent] of Object.entries(parents)) {
      // Builds the indexes that the parent has.
      const range = `for values from ('${day.lower}') to ('${day.upper}')`
      await client.query(
        of(`alter table patchbay.${parent} attach partition patchbay.${table} ${range}`),
      )
      await client.query(of(`vacuum (analyze) patchbay.${table}`))
    }
  } finally {
    // With its settings.
    client.release(true)
  }
}
