import type { Actor, AuditEntry } from '../core/actor.ts'
import { type Page, toPage } from '../core/cursor.ts'
import type { DeliveryStatus } from '../core/delivery.ts'
import { notFound } from '../core/error.ts'
import type { DbTx, Queryable } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import { cancelDelivery, retryDelivery } from './by-hand.ts'
import { makeExplain } from './explain.ts'
import {
  type AttemptRow,
  type DeliveryFilter,
  type DeliveryRow,
  type EventFilter,
  type EventRow,
  findEvent,
  listEvents,
  pageOfDeliveries,
  readAttempts,
  readDeliveries,
} from './queries.ts'

export interface DeliveryView {
  readonly id: string
  readonly eventId: string
  readonly eventType: string | null
  readonly webhookId: string
  readonly url: string | null
  readonly status: DeliveryStatus
  readonly attempts: number
  readonly nextAttemptAt: string | null
  /** What an owed one waits for, in words; null once it is final. */
  readonly waitsFor: string | null
  /** false: the event is past its retention, and it cannot be sent again. */
  readonly hasBody: boolean
  readonly lastStatusCode: number | null
  readonly lastError: string | null
  readonly createdAt: string
  readonly finishedAt: string | null
}

const MAX_DELIVERIES_OF_EVENT = 1000
/** Ends without a try: they are in the log, but no attempt. */
const NO_ATTEMPT = new Set(['expired', 'canceled'])

/** Writes down what a person did, in the transaction that does it. */
export type WriteAudit = (entry: AuditEntry, tx: DbTx) => Promise<void>

interface HistoryDeps {
  readonly inOrg: InOrg
  readonly audit: WriteAudit
}

/** What happened: read from the queue and the log, scoped to an org. */
export function makeHistory({ inOrg, audit }: HistoryDeps) {
  async function deliveryOf(db: Queryable, orgId: string, id: string): Promise<DeliveryView> {
    const [row] = await readDeliveries(db, orgId, [id])
    if (row === undefined) throw notFound('delivery')
    return toDelivery(row)
  }

  return {
    async listDeliveries(orgId: string, filter: DeliveryFilter, page: Page) {
      return inOrg(orgId, async (_, db) => {
        const ids = await pageOfDeliveries(db, orgId, filter, page.after, page.limit + 1)
        const { rows: shown, nextCursor } = toPage(ids, page.limit, (id) => id)
        const rows = await readDeliveries(db, orgId, shown)
        return { deliveries: rows.map(toDelivery), nextCursor }
      })
    },

    async getDelivery(orgId: string, id: string) {
      return inOrg(orgId, async (_, db) => {
        const delivery = await deliveryOf(db, orgId, id)
        const event = await findEvent(db, orgId, delivery.eventId)
        const attempts = await readAttempts(db, orgId, id)
        return {
          delivery,
          event: event === null ? null : toEvent(event),
          attempts: attempts.filter((row) => !NO_ATTEMPT.has(row.outcome)).map(toAttempt),
        }
      })
    },

    /** See `retryDelivery`. */
    async retry(orgId: string, id: string, by: Actor): Promise<DeliveryView> {
      return inOrg(orgId, async (tx, db) => {
        await retryDelivery(db, orgId, id)
        await audit({ orgId, by, action: 'delivery.retried', target: id }, tx)
        return deliveryOf(db, orgId, id)
      })
    },

    /** See `cancelDelivery`. */
    async cancel(orgId: string, id: string, by: Actor): Promise<DeliveryView> {
      return inOrg(orgId, async (tx, db) => {
        const isCanceled = await cancelDelivery(db, orgId, id)
        if (isCanceled) await audit({ orgId, by, action: 'delivery.canceled', target: id }, tx)
        return deliveryOf(db, orgId, id)
      })
    },

    explain: makeExplain({ inOrg }),

    async listEvents(orgId: string, filter: EventFilter, page: Page) {
      const rows = await inOrg(orgId, (_, db) =>
        listEvents(db, orgId, filter, page.after, page.limit + 1),
      )
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { events: shown.map(toEvent), nextCursor }
    },

    /** With its deliveries, the newest thousand of them. */
    async getEvent(orgId: string, id: string) {
      return inOrg(orgId, async (_, db) => {
        const event = await findEvent(db, orgId, id)
        if (event === null) throw notFound('event')
        const filter: DeliveryFilter = { ...NO_FILTER, eventId: id }
        const ids = await pageOfDeliveries(db, orgId, filter, null, MAX_DELIVERIES_OF_EVENT)
        const deliveries = await readDeliveries(db, orgId, ids)
        return { event: toEvent(event), deliveries: deliveries.map(toDelivery) }
      })
    },
  }
}

const NO_FILTER: DeliveryFilter = {
  webhookId: null,
  integrationId: null,
  status: null,
  eventType: null,
  eventId: null,
  since: null,
  until: null,
}

function toDelivery(row: DeliveryRow): DeliveryView {
  return {
    id: row.delivery_id,
    eventId: row.event_id,
    eventType: row.event_type,
    webhookId: row.subscription_id,
    url: row.url,
    status: row.status,
    attempts: row.attempts,
    nextAttemptAt: row.next_attempt_at?.toISOString() ?? null,
    waitsFor: row.waits_for,
    hasBody: row.event_type !== null,
    lastStatusCode: row.last_status_code,
    lastError: row.last_error,
    createdAt: row.created_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
  }
}

function toAttempt(row: AttemptRow) {
  return {
    attempt: row.attempt,
    outcome: row.outcome,
    statusCode: row.status_code,
    durationMs: row.duration_ms,
    error: row.error,
    responseSnippet: row.response_snippet,
    trigger: row.trigger,
    createdAt: row.created_at.toISOString(),
  }
}

function toEvent(row: EventRow) {
  return {
    id: row.id,
    orgId: row.org_id,
    type: row.type,
    conversationId: row.conversation_id,
    data: row.data,
    occurredAt: row.occurred_at.toISOString(),
    createdAt: row.created_at.toISOString(),
  }
}
