import type { Queryable } from '../db/pool.ts'

/**
 * Owes an event to one subscription more than those that want it: an answer goes back to where the question was asked, whatever
 * that subscription listens to. Not where it gets the event anyway. In an ordered lane it takes its turn in its conversation.
 */
const REPLY = `
with target as (
  select s.id, s.org_id, e.id as event_id,
    case when s.ordering = 'conversation' then e.conversation_id end as ordering_key
  from patchbay.webhook_subscriptions as s
  join patchbay.outbox_events as e on e.org_id = s.org_id and e.id = $3
  where s.org_id = $1 and s.id = $2 and s.deleted_at is null
)
insert into patchbay.delivery_queue (org_id, subscription_id, event_id, ordering_key, place, blocked, ready, due_at)
select t.org_id, t.id, t.event_id, t.ordering_key,
  case when t.ordering_key is not null then nextval('patchbay.outbox_places') end,
  t.ordering_key is not null, t.ordering_key is null,
  case when t.ordering_key is null then now() else 'infinity'::timestamptz end
from target as t`

/** In the transaction that emits the event. */
export async function owe(
  tx: Queryable,
  orgId: string,
  subscriptionId: string,
  eventId: string,
): Promise<void> {
  await tx.query({ text: REPLY, values: [orgId, subscriptionId, eventId] })
}

const NOTICE = `
with target as (
  select s.id, s.org_id
  from patchbay.webhook_subscriptions as s
  where s.org_id = $1 and s.id = $2 and s.deleted_at is null
),
event as (
  insert into patchbay.outbox_events (id, org_id, type, conversation_id, data, occurred_at, only_for)
  select patchbay.new_id(), t.org_id, 'app.notice', $3, json_build_object('text', $4::text), now(), t.id
  from target as t
  returning id, org_id, only_for
)
insert into patchbay.delivery_queue (org_id, subscription_id, event_id)
select org_id, only_for, id from event`

/** Says something to the people of an app by one of its subscriptions. */
export async function notify(
  tx: Queryable,
  orgId: string,
  subscriptionId: string,
  conversationId: string | null,
  text: string,
): Promise<void> {
  await tx.query({ text: NOTICE, values: [orgId, subscriptionId, conversationId, text] })
}
