import { z } from '@hono/zod-openapi'
import { decodeCursor } from '../../core/cursor.ts'
import { DELIVERY_STATUSES } from '../../core/delivery.ts'
import { MAX_HOST_ID_LENGTH } from '../../core/event.ts'
import { VERDICTS } from '../../history/explain.ts'
import type { makeHistory } from '../../history/history.ts'
import type { EventInput } from '../../outbox/emit.ts'
import { actorOf } from '../actor.ts'
import { exactData } from '../exact-json.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { body, eventType, json, nextCursor, orgParam, pageQuery, time, uuid } from '../schemas.ts'

const event = z
  .object({
    id: uuid,
    orgId: z.string(),
    type: z.string(),
    conversationId: z.string().nullable(),
    data: z.unknown(),
    occurredAt: time,
    createdAt: time,
  })
  .openapi('Event')
const delivery = z
  .object({
    id: uuid,
    eventId: uuid,
    eventType: z.string().nullable(),
    webhookId: uuid,
    url: z.string().nullable(),
    status: z.enum(DELIVERY_STATUSES),
    attempts: z.int(),
    nextAttemptAt: time.nullable(),
    waitsFor: z.string().nullable().openapi({ description: 'What an owed delivery waits for' }),
    hasBody: z.boolean().openapi({ description: 'false: past its retention, cannot be resent' }),
    lastStatusCode: z.int().nullable(),
    lastError: z.string().nullable(),
    createdAt: time,
    finishedAt: time.nullable(),
  })
  .openapi('Delivery')
const attempt = z
  .object({
    attempt: z.int(),
    outcome: z.string(),
    statusCode: z.int().nullable(),
    durationMs: z.int().nullable(),
    error: z.string().nullable(),
    responseSnippet: z.string().nullable(),
    trigger: z.enum(['schedule', 'manual', 'recovery', 'test']),
    createdAt: time,
  })
  .openapi('Attempt')

const conversationId = z.string().min(1).max(MAX_HOST_ID_LENGTH)
const windowQuery = { since: time.optional(), until: time.optional() }
const middleware = requires('org:tools:manage')
const eventParam = orgParam.extend({ eventId: uuid })
const deliveryParam = orgParam.extend({ deliveryId: uuid })

const postEvent = route({
  method: 'post',
  path: '/orgs/{orgId}/events',
  tags: ['Events'],
  summary: 'Emit an event, for producers that cannot write to the database',
  middleware,
  request: {
    params: orgParam,
    body: body(
      z.strictObject({
        type: eventType,
        data: z.record(z.string(), z.unknown()),
        conversationId: conversationId.optional(),
        occurredAt: time.optional(),
      }),
    ),
  },
  responses: { 202: json(z.object({ event: z.object({ id: uuid }) }), 'Recorded') },
})

const listEvents = route({
  method: 'get',
  path: '/orgs/{orgId}/events',
  tags: ['Events'],
  summary: 'List events',
  middleware,
  request: {
    params: orgParam,
    query: pageQuery.extend({
      type: eventType.optional(),
      conversationId: conversationId.optional(),
      ...windowQuery,
    }),
  },
  responses: { 200: json(z.object({ events: z.array(event), nextCursor }), 'Newest first') },
})

const getEvent = route({
  method: 'get',
  path: '/orgs/{orgId}/events/{eventId}',
  tags: ['Events'],
  summary: 'One event with its deliveries',
  middleware,
  request: { params: eventParam },
  responses: { 200: json(z.object({ event, deliveries: z.array(delivery) }), 'Found') },
})

const listDeliveries = route({
  method: 'get',
  path: '/orgs/{orgId}/deliveries',
  tags: ['Deliveries'],
  summary: 'List deliveries, owed and final',
  middleware,
  request: {
    params: orgParam,
    query: pageQuery.extend({
      webhookId: uuid.optional(),
      integrationId: uuid.optional(),
      status: z.enum(DELIVERY_STATUSES).optional(),
      eventType: eventType.optional(),
      eventId: uuid.optional(),
      ...windowQuery,
    }),
  },
  responses: { 200: json(z.object({ deliveries: z.array(delivery), nextCursor }), 'Newest first') },
})

const getDelivery = route({
  method: 'get',
  path: '/orgs/{orgId}/deliveries/{deliveryId}',
  tags: ['Deliveries'],
  summary: 'One delivery with its attempts',
  middleware,
  request: { params: deliveryParam },
  responses: {
    200: json(
      z.object({ delivery, event: event.nullable(), attempts: z.array(attempt) }),
      'Attempts oldest first; `event` is null once it is past its retention',
    ),
  },
})

const retryDelivery = route({
  method: 'post',
  path: '/orgs/{orgId}/deliveries/{deliveryId}/retry',
  tags: ['Deliveries'],
  summary: 'Send it now, whatever its state',
  middleware,
  request: { params: deliveryParam },
  responses: { 202: json(z.object({ delivery }), 'Owed again, outside the schedule') },
})

const cancelDelivery = route({
  method: 'post',
  path: '/orgs/{orgId}/deliveries/{deliveryId}/cancel',
  tags: ['Deliveries'],
  summary: 'End a delivery that is owed',
  middleware,
  request: { params: deliveryParam },
  responses: { 200: json(z.object({ delivery }), 'Canceled; the history says so') },
})

const explainEvent = route({
  method: 'get',
  path: '/orgs/{orgId}/events/{eventId}/explain',
  tags: ['Events'],
  summary: 'Why a subscription did or did not get an event',
  middleware,
  request: { params: eventParam, query: z.object({ webhookId: uuid }) },
  responses: {
    200: json(
      z
        .object({
          verdict: z.enum(VERDICTS),
          reason: z.string(),
          deliveryId: uuid.nullable(),
          nextAttemptAt: time.nullable(),
        })
        .openapi('Explanation'),
      'In a word, and in a sentence',
    ),
  },
})

export interface HistoryRoutesDeps {
  readonly history: ReturnType<typeof makeHistory>
  readonly emit: (event: EventInput) => Promise<string>
  /** Something became ready. */
  readonly wake: () => void
}

const toDate = (text: string | undefined) => (text === undefined ? null : new Date(text))

export function historyRoutes({ history, emit, wake }: HistoryRoutesDeps) {
  return makeRouter()
    .openapi(postEvent, async (c) => {
      const { occurredAt, ...input } = c.req.valid('json')
      const id = await emit({
        ...input,
        data: exactData(await c.req.text()),
        orgId: c.req.valid('param').orgId,
        occurredAt: toDate(occurredAt) ?? undefined,
        idempotencyKey: c.req.header('idempotency-key'),
      })
      wake()
      return c.json({ event: { id } }, 202)
    })
    .openapi(listEvents, async (c) => {
      const { limit, cursor, type, conversationId, since, until } = c.req.valid('query')
      const filter = {
        type: type ?? null,
        conversationId: conversationId ?? null,
        since: toDate(since),
        until: toDate(until),
      }
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await history.listEvents(c.req.valid('param').orgId, filter, page), 200)
    })
    .openapi(getEvent, async (c) => {
      const { orgId, eventId } = c.req.valid('param')
      return c.json(await history.getEvent(orgId, eventId), 200)
    })
    .openapi(listDeliveries, async (c) => {
      const { limit, cursor, since, until, ...given } = c.req.valid('query')
      const filter = {
        webhookId: given.webhookId ?? null,
        integrationId: given.integrationId ?? null,
        status: given.status ?? null,
        eventType: given.eventType ?? null,
        eventId: given.eventId ?? null,
        since: toDate(since),
        until: toDate(until),
      }
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await history.listDeliveries(c.req.valid('param').orgId, filter, page), 200)
    })
    .openapi(getDelivery, async (c) => {
      const { orgId, deliveryId } = c.req.valid('param')
      return c.json(await history.getDelivery(orgId, deliveryId), 200)
    })
    .openapi(retryDelivery, async (c) => {
      const { orgId, deliveryId } = c.req.valid('param')
      const delivery = await history.retry(orgId, deliveryId, actorOf(c))
      wake()
      return c.json({ delivery }, 202)
    })
    .openapi(cancelDelivery, async (c) => {
      const { orgId, deliveryId } = c.req.valid('param')
      const by = actorOf(c)
      return c.json({ delivery: await history.cancel(orgId, deliveryId, by) }, 200)
    })
    .openapi(explainEvent, async (c) => {
      const { orgId, eventId } = c.req.valid('param')
      return c.json(await history.explain(orgId, eventId, c.req.valid('query').webhookId), 200)
    })
}
