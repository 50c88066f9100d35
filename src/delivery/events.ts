import type { EventRecord } from '../core/event.ts'
import type { Queryable } from '../db/pool.ts'

/**
 * The range says which partitions there is anything in: an array of ids does not. The order keeps the planner to the primary key,
 * also for the partition of a day that has no event yet, when any index looks as good and the plan is kept.
 */
const EVENTS = `
select o.id, o.org_id, o.type, o.conversation_id, o.data::text,
  to_char(o.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
from patchbay.outbox_events as o
where o.id = any ($1::uuid[]) and o.id >= $2::uuid and o.id <= $3::uuid
order by o.id`

type Row = [
  id: string,
  orgId: string,
  type: string,
  conversationId: string | null,
  data: string,
  occurredAt: string,
]

/**
 * The events of these deliveries by id, each read once, however many subscriptions it is for. One that is missing is past its
 * retention.
 */
export async function loadEvents(
  db: Queryable,
  deliveries: readonly { readonly event_id: string }[],
): Promise<ReadonlyMap<string, EventRecord>> {
  const ids = [...new Set(deliveries.map((row) => row.event_id))].toSorted()
  const [first, last] = [ids.at(0), ids.at(-1)]
  if (first === undefined) return new Map()
  const { rows } = await db.query<Row>({
    name: 'load_events',
    text: EVENTS,
    rowMode: 'array',
    values: [`{${ids.join(',')}}`, first, last],
  })
  return new Map(
    rows.map(([id, orgId, type, conversationId, data, occurredAt]) => [
      id,
      { id, orgId, type, conversationId, data, occurredAt },
    ]),
  )
}
