import { type Page, toPage } from '../core/cursor.ts'
import type { DeliveryStatus } from '../core/delivery.ts'
import { AppError, notFound } from '../core/error.ts'
import type { Queryable } from '../db/pool.ts'
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
  retryDelivery,
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
  readonly lastStatusCode: number | null
  readonly lastError: string | null
  readonly createdAt: string
  readonly finishedAt: string | null
}

const MAX_DELIVERIES_OF_EVENT = 1000
/** Ends without a try: they are in the log, but no attempt. */
const NO_ATTEMPT = new Set(['expired', 'canceled'])

/** What happened: read from the queue and the log, scoped to an org. */
export function makeHistory({ db }: { readonly db: Queryable }) {
  async function deliveryOf(orgId: string, id: string): Promise<DeliveryView> {
    const [row] = await readDeliveries(db, orgId, [id])
    if (row === undefined) throw notFound('delivery')
    return toDelivery(row)
  }

  return {
    async listDeliveries(orgId: string, filter: DeliveryFilter, page: Page) {
      const ids = await pageOfDeliveries(db, orgId, filter, page.after, page.limit + 1)
      const { rows: shown, nextCursor } = toPage(ids, page.limit, (id) => id)
      const rows = await readDeliveries(db, orgId, shown)
      return { deliveries: rows.map(toDelivery), nextCursor }
    },

    async getDelivery(orgId: string, id: string) {
      const delivery = await deliveryOf(orgId, id)
      const event = await findEvent(db, orgId, delivery.eventId)
      const attempts = await readAttempts(db, orgId, id)
      return {
        delivery,
        event: event === null ? null : toEvent(event),
        attempts: attempts.filter((row) => !NO_ATTEMPT.has(row.outcome)).map(toAttempt),
      }
    },

    /** Throws `CONFLICT` where nothing can be sent: the subscription is disabled or deleted, or the body is gone. */
    async retry(orgId: string, id: string): Promise<DeliveryView> {
      const target = await retryDelivery(db, orgId, id)
      if (target === null) throw notFound('delivery')
      if (target.is_deleted) throw new AppError('CONFLICT', 'Its subscription was deleted.')
      if (!target.is_live) {
        throw new AppError('CONFLICT', 'Its subscription is disabled. Enable it first.')
      }
      if (!target.has_body) {
        throw new AppError('CONFLICT', 'The event is past its retention; its body is gone.')
      }
      return deliveryOf(orgId, id)
    },

    async listEvents(orgId: string, filter: EventFilter, page: Page) {
      const rows = await listEvents(db, orgId, filter, page.after, page.limit + 1)
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { events: shown.map(toEvent), nextCursor }
    },

    /** With its deliveries, the newest thousand of them. */
    async getEvent(orgId: string, id: string) {
      const event = await findEvent(db, orgId, id)
      if (event === null) throw notFound('event')
      const filter: DeliveryFilter = { ...NO_FILTER, eventId: id }
      const ids = await pageOfDeliveries(db, orgId, filter, null, MAX_DELIVERIES_OF_EVENT)
      const deliveries = await readDeliveries(db, orgId, ids)
      return { event: toEvent(event), deliveries: deliveries.map(toDelivery) }
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
