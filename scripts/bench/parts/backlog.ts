import { EVENT_DATA } from '../body.ts'
import { asAdmin, type Database, type Urls } from '../databases.ts'
import { toLanes } from '../emit.ts'
import { copyLanes, subscribeLanes } from '../lanes.ts'
import type { Part, Stage } from '../part.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { measureSides } from '../turns.ts'

const GOAL = 0.85
const LANES = 20
/** Lanes that fail, and events that are owed to each of them. */
const OTHERS = { full: { lanes: 1000, events: 1000 }, quick: { lanes: 200, events: 250 } }
const OTHER_ORG = 'failing'
const OTHER_TYPE = 'bench.failing'

/**
 * The rate of healthy lanes with a million deliveries owed to a thousand lanes of another org, against the rate with none. Their
 * endpoints answer 500 to everything, for hours: each circuit is open, with a probe due within the next quarter of an hour; of
 * the events the first tenth was tried four times before, and waits for the fifth, some time in the next hour; the rest came
 * later and is held. So while it measures, probes go out and fail, and retries come due and are held: some thirty a second, also while the
 * other side is measured.
 */
export const backlogPart: Part = {
  name: 'backlog',
  isOnce: false,
  measure: async (stage) => {
    const others = stage.isQuick ? OTHERS.quick : OTHERS.full
    const side = {
      events: stage.size.deliveries,
      warmUp: stage.size.warmUp,
      to: toLanes(LANES),
    }
    const turns = await measureSides(stage, [
      async () => ({ ...side, database: await copyLanes(stage, LANES) }),
      async () => ({
        ...side,
        database: await copyWithBacklog(stage, others),
        owedToPath: '/lane/',
      }),
    ])
    const refused = turns.reduce((sum, [, { counts }]) => sum + counts.refused, 0)
    stage.say(`${refused} probes went out and failed meanwhile`)
    const owed = (others.lanes * others.events).toLocaleString('en')
    const title = `with ${owed} owed to failing lanes ÷ with none`
    return turns.flatMap(([without, beside]) => [
      atLeast('with_backlog', title, GOAL, quotientOf(beside.perSecond, without.perSecond)),
      wrongs('backlog', [without, beside]),
    ])
  },
}

async function copyWithBacklog(stage: Stage, others: Others): Promise<Database> {
  const database = await stage.templates.copy('backlog', (urls, masterKey) =>
    fill(stage.receiverUrl, others, urls, masterKey),
  )
  // As if all of it had come to be until now, however old the template is.
  await asAdmin(database.adminUrl, SPREAD_PROBES, SPREAD_RETRIES, 'vacuum patchbay.delivery_queue')
  return database
}

type Others = (typeof OTHERS)['full' | 'quick']

async function fill(
  receiverUrl: string,
  { lanes, events }: Others,
  { url, adminUrl }: Urls,
  masterKey: string,
) {
  const healthy = await subscribeLanes({ url, masterKey, lanes: LANES, base: receiverUrl })
  const failing = await subscribeLanes({
    url,
    masterKey,
    lanes,
    base: `${receiverUrl}/status/500`,
    orgOf: () => OTHER_ORG,
    typesOf: () => [OTHER_TYPE],
  })
  await asAdmin(
    adminUrl,
    emit(events),
    OWE,
    TRY,
    OPEN_CIRCUITS,
    'delete from patchbay.outbox_pending',
  )
  return { ...healthy, ...failing }
}

const emit = (events: number) => `
select count(patchbay.emit_event('${OTHER_ORG}', '${OTHER_TYPE}', '${EVENT_DATA}')) from generate_series(1, ${events})`

/** As the relay and `holdLanes` leave it: fanned out event by event, and held. */
const OWE = `
insert into patchbay.delivery_queue (org_id, subscription_id, event_id, ready, due_at)
select e.org_id, s.id, e.id, false, 'infinity'
from patchbay.outbox_events as e
join patchbay.webhook_subscriptions as s on s.org_id = e.org_id
where e.type = '${OTHER_TYPE}'
order by e.id`

/** As `recordAttempts` leaves the first tenth: four tries that failed. */
const TRY = `
with tried as (
  update patchbay.delivery_queue as q
  set attempt = 5, step = 4, due_at = now()
  where q.event_id = any (array(
    select e.id from patchbay.outbox_events as e
    where e.type = '${OTHER_TYPE}'
    order by e.id
    limit (select count(*) / 10 from patchbay.outbox_events as e where e.type = '${OTHER_TYPE}')
  ))
  returning q.id, q.org_id, q.subscription_id, q.event_id
)
insert into patchbay.webhook_delivery_log
  (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, status_code, duration_ms, error, response_snippet, trigger)
select id, org_id, subscription_id, event_id, attempt, 'failed', false, 500, 5, 'HTTP 500', 'no', 'schedule'
from tried
cross join generate_series(1, 4) as attempt`

/** As five probes that failed leave it, and what their lanes told by events. */
const OPEN_CIRCUITS = `
update patchbay.subscription_health as h
set consecutive_failures = 405, first_failure_at = now() - interval '3 hours', last_failed_at = now(),
  last_error = 'HTTP 500', failed_probes = 5, open_until = now() + interval '15 minutes', probe_at = now() + interval '15 minutes'
where h.org_id = '${OTHER_ORG}'`

const SPREAD_PROBES = `
update patchbay.subscription_health as h
set open_until = next.at, probe_at = next.at
from (select subscription_id, now() + random() * interval '15 minutes' as at from patchbay.subscription_health) as next
where h.subscription_id = next.subscription_id and h.open_until is not null`

const SPREAD_RETRIES = `
update patchbay.delivery_queue as q
set due_at = now() + random() * interval '1 hour'
where not q.ready and q.due_at < 'infinity'`
