import { laneOrg } from '../body.ts'
import { asAdmin, type Database } from '../databases.ts'
import { toLanes } from '../emit.ts'
import { copyLanes, subscribeLanes } from '../lanes.ts'
import type { Part, Stage } from '../part.ts'
import { atLeast, quotientOf, wrongs } from '../results.ts'
import { measureSides } from '../turns.ts'

const GOAL = 0.9
const LANES = 20
const PAST = { full: 1_000_000, quick: 50_000 }

/**
 * The rate after a million deliveries, against the rate of a new database. All of them are of today, so that every index that
 * a new row enters is as deep as a day of that many makes it. The events are there without their bodies: nobody reads them.
 */
export const historyPart: Part = {
  name: 'history',
  isOnce: false,
  measure: async (stage) => {
    const past = stage.isQuick ? PAST.quick : PAST.full
    const side = async (copy: () => Promise<Database>) => ({
      database: await copy(),
      events: stage.size.deliveries,
      warmUp: stage.size.warmUp,
      to: toLanes(LANES),
    })
    const turns = await measureSides(stage, [
      () => side(() => copyLanes(stage, LANES)),
      () => side(() => copyAfter(stage, past)),
    ])
    const title = `after ${past.toLocaleString('en')} deliveries ÷ with none`
    return turns.flatMap(([without, after]) => [
      atLeast('after_history', title, GOAL, quotientOf(after.perSecond, without.perSecond)),
      wrongs('history', [without, after]),
    ])
  },
}

const copyAfter = (stage: Stage, past: number) =>
  stage.templates.copy('history', async ({ url, adminUrl }, masterKey) => {
    const secrets = await subscribeLanes({
      url,
      masterKey,
      lanes: LANES,
      base: stage.receiverUrl,
    })
    await asAdmin(
      adminUrl,
      // Without triggers: these events have been fanned out.
      `set session_replication_role = replica; ${writePast(past)}`,
    )
    return secrets
  })

const writePast = (count: number) => `
with lane as (
  select array_agg(id) as ids from patchbay.webhook_subscriptions
),
past as materialized (
  select patchbay.new_id() as event_id, patchbay.new_id() as delivery_id, ids[1 + nth % cardinality(ids)] as subscription_id
  from lane
  cross join generate_series(1, ${count}) as nth
),
events as (
  insert into patchbay.outbox_events (id, org_id, type, data, occurred_at)
  select event_id, '${laneOrg(0)}', 'bench.past', '{}', now() from past
)
insert into patchbay.webhook_delivery_log
  (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, status_code, duration_ms, response_snippet, trigger)
select delivery_id, '${laneOrg(0)}', subscription_id, event_id, 1, 'delivered', true, 200, 5, 'ok', 'schedule'
from past`
