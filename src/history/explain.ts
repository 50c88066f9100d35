import { notFound } from '../core/error.ts'
import type { Queryable } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import { type DeliveryRow, readDeliveries } from './queries.ts'

export const VERDICTS = [
  'delivered',
  'owed',
  'failed',
  'not_subscribed',
  'disabled_then',
  'created_later',
  'expired',
  'canceled',
] as const

export interface Explanation {
  readonly verdict: (typeof VERDICTS)[number]
  /** A sentence for the person who asks. */
  readonly reason: string
  readonly deliveryId: string | null
  readonly nextAttemptAt: string | null
}

/** What a subscription was at the time of an event. */
export interface StateRow {
  readonly at: Date
  readonly is_live: boolean
  readonly reason: string | null
  readonly wants: boolean
  readonly event_types: string[]
}

export interface Facts {
  readonly eventType: string
  readonly eventAt: Date
  readonly isPending: boolean
  /** It was asked in the app of this very subscription, and answered there. */
  readonly isAnsweredThere: boolean
  /** It was addressed to one subscription alone, and not to this one. */
  readonly isForAnother: boolean
  readonly subscriptionCreatedAt: Date
  readonly delivery: DeliveryRow | null
  /** Oldest first: the one in force at the event, and those after it. */
  readonly states: readonly StateRow[]
}

/** Why a subscription did or did not get an event. */
export function explain(facts: Facts): Explanation {
  if (facts.delivery !== null) return ofDelivery(facts.delivery)
  const because = (verdict: Explanation['verdict'], reason: string): Explanation => ({
    verdict,
    reason,
    deliveryId: null,
    nextAttemptAt: null,
  })
  if (facts.isPending) return because('owed', 'It is recorded and not yet fanned out.')
  if (facts.isForAnother) {
    return because('not_subscribed', 'It is a test that was meant for another subscription.')
  }
  if (facts.isAnsweredThere) {
    return because(
      'not_subscribed',
      'It was asked in this app, and the answer went back to where it was asked.',
    )
  }
  if (facts.subscriptionCreatedAt > facts.eventAt) {
    const at = facts.subscriptionCreatedAt.toISOString()
    return because(
      'created_later',
      `The subscription was created after the event, at ${at}. ${RECOVER_MISSED}`,
    )
  }
  // An event meets its subscriptions when it is relayed, a moment after its transaction ended: a change may come before that.
  const against = facts.states.find((state) => !state.is_live || !state.wants)
  if (against === undefined) {
    return because('not_subscribed', 'Nothing is recorded of it for this subscription.')
  }
  const since = against.at.toISOString()
  return against.is_live
    ? because(
        'not_subscribed',
        `It was subscribed to ${against.event_types.join(', ')}, not to ${facts.eventType}, since ${since}.`,
      )
    : because(
        'disabled_then',
        `It was disabled at that time, since ${since}: ${sentence(against.reason)} ${RECOVER_MISSED}`,
      )
}

const RECOVER_MISSED = 'A recovery of what was missed sends it.'

function sentence(text: string | null): string {
  if (text === null) return 'no reason was given.'
  return text.endsWith('.') ? text : `${text}.`
}

function ofDelivery(row: DeliveryRow): Explanation {
  const known = {
    deliveryId: row.delivery_id,
    nextAttemptAt: row.next_attempt_at?.toISOString() ?? null,
  }
  const at = row.finished_at?.toISOString() ?? ''
  const tries = row.attempts === 1 ? '1 try' : `${row.attempts} tries`
  const last = row.last_error === null ? '' : ` The last one: ${row.last_error}.`
  switch (row.status) {
    case 'delivered':
      return {
        ...known,
        verdict: 'delivered',
        reason: `It was accepted at ${at} with HTTP ${row.last_status_code}, after ${tries}.`,
      }
    case 'owed': {
      const when = known.nextAttemptAt === null ? '' : ` The next try is at ${known.nextAttemptAt}.`
      const sofar = row.attempts === 0 ? 'Not tried yet.' : `${tries} so far.${last}`
      return { ...known, verdict: 'owed', reason: `It waits for ${row.waits_for}. ${sofar}${when}` }
    }
    case 'failed':
      return {
        ...known,
        verdict: 'failed',
        reason: `It was given up at ${at} after ${tries}.${last} Nothing more is tried unless somebody retries or recovers it.`,
      }
    case 'expired':
      return {
        ...known,
        verdict: 'expired',
        reason: `It ended unsent at ${at}: ${row.last_error}.`,
      }
    case 'canceled':
      return { ...known, verdict: 'canceled', reason: `It ended at ${at}: ${row.last_error}.` }
  }
}

const EVENT = `
select type, only_for, except_for, patchbay.id_time(id) as at, exists (
  select from patchbay.outbox_pending as p where p.event_id = e.id
) as is_pending
from patchbay.outbox_events as e
where org_id = $1 and id = $2`

const SUBSCRIPTION = `
select created_at, integration_id from patchbay.webhook_subscriptions where org_id = $1 and id = $2`

/** An event has one delivery to a subscription at most, in the queue or in the log. */
const DELIVERY = `
select q.id
from patchbay.owed_to($1) as owed (id)
join patchbay.delivery_queue as q on q.id = owed.id
where q.event_id = $2
union all
select l.delivery_id
from patchbay.webhook_delivery_log as l
where l.event_id = $2 and l.subscription_id = $1
limit 1`

const STATES = `
select s.at, s.is_live, s.reason, s.event_types, s.event_types && patchbay.patterns_of($3) as wants
from patchbay.subscription_states as s
where s.subscription_id = $1
  and s.at >= coalesce((
    select max(f.at) from patchbay.subscription_states as f
    where f.subscription_id = $1 and f.at <= patchbay.id_moment($2)
  ), patchbay.id_moment($2))
order by s.at
limit 100`

interface EventRow {
  readonly type: string
  readonly only_for: string | null
  readonly except_for: string | null
  readonly at: Date
  readonly is_pending: boolean
}

interface SubscriptionRow {
  readonly created_at: Date
  readonly integration_id: string
}

/** Answers "why did this subscription not get this event?". Throws `NOT_FOUND` for either that the org does not have. */
export function makeExplain({ inOrg }: { readonly inOrg: InOrg }) {
  async function one<Row extends object>(
    db: Queryable,
    text: string,
    values: unknown[],
  ): Promise<Row | null> {
    const { rows } = await db.query<Row & Record<string, unknown>>({ text, values })
    return rows[0] ?? null
  }

  const answer = async (db: Queryable, orgId: string, eventId: string, webhookId: string) => {
    const event = await one<EventRow>(db, EVENT, [orgId, eventId])
    if (event === null) throw notFound('event')
    const subscription = await one<SubscriptionRow>(db, SUBSCRIPTION, [orgId, webhookId])
    if (subscription === null) throw notFound('webhook')
    const found = await one<{ id: string }>(db, DELIVERY, [webhookId, eventId])
    const [delivery] = found === null ? [] : await readDeliveries(db, orgId, [found.id])
    const states = await db.query<StateRow & Record<string, unknown>>({
      text: STATES,
      values: [webhookId, eventId, event.type],
    })
    return explain({
      eventType: event.type,
      eventAt: event.at,
      isPending: event.is_pending,
      isAnsweredThere: event.except_for === subscription.integration_id,
      isForAnother: event.only_for !== null && event.only_for !== webhookId,
      subscriptionCreatedAt: subscription.created_at,
      delivery: delivery ?? null,
      states: states.rows,
    })
  }

  return (orgId: string, eventId: string, webhookId: string): Promise<Explanation> =>
    inOrg(orgId, (_, db) => answer(db, orgId, eventId, webhookId))
}
