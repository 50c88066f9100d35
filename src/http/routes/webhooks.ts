import { z } from '@hono/zod-openapi'
import { decodeCursor } from '../../core/cursor.ts'
import type { makeSubscriptions } from '../../integrations/subscriptions.ts'
import { actorOf } from '../actor.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import {
  body,
  eventPattern,
  json,
  nextCursor,
  ok,
  orgParam,
  pageQuery,
  time,
  uuid,
} from '../schemas.ts'

const rateLimit = z.strictObject({ perSecond: z.number().min(0.001).max(10_000) })
const webhook = z
  .object({
    id: uuid,
    orgId: z.string(),
    integrationId: uuid,
    url: z.string(),
    description: z.string().nullable(),
    eventTypes: z.array(z.string()),
    isActive: z.boolean(),
    disabledReason: z.string().nullable(),
    headers: z.record(z.string(), z.string()),
    rateLimit: rateLimit.nullable(),
    ordering: z.enum(['none', 'conversation']),
    maxAgeSeconds: z.int().nullable(),
    retrySchedule: z.array(z.int()).nullable(),
    content: z.enum(['thin', 'full']),
    health: z.object({
      state: z.enum(['healthy', 'failing', 'open', 'disabled']),
      consecutiveFailures: z.int(),
      failingSince: time.nullable(),
      lastError: z.string().nullable(),
      nextProbeAt: time.nullable().openapi({ description: 'Of an open circuit' }),
      lastDeliveredAt: time.nullable(),
      owed: z.int(),
    }),
    createdAt: time,
    updatedAt: time,
  })
  .openapi('Webhook')

const input = z.strictObject({
  url: z.string().min(1).max(2048).openapi({ example: 'https://example.com/hooks' }),
  eventTypes: z.array(eventPattern).min(1).max(100),
  description: z.string().max(1000).nullable().optional(),
  isActive: z.boolean().optional(),
  headers: z.record(z.string(), z.string()).optional(),
  rateLimit: rateLimit.nullable().optional().openapi({
    description: 'Requests a second at most, over all workers together',
  }),
  ordering: z.enum(['none', 'conversation']).optional().openapi({
    description:
      '`conversation`: one at a time for each conversation, in the order of commit, from now on',
  }),
  maxAgeSeconds: z.int().min(1).max(2_592_000).nullable().optional(),
  retrySchedule: z.array(z.number()).nullable().optional(),
  content: z.enum(['thin', 'full']).optional(),
})

export const webhookPath = '/orgs/{orgId}/integrations/{integrationId}/webhooks/{webhookId}'
const integrationParam = orgParam.extend({ integrationId: uuid })
export const webhookParam = integrationParam.extend({ webhookId: uuid })
const tags = ['Webhooks']
const middleware = requires('org:tools:manage')
const path = '/orgs/{orgId}/integrations/{integrationId}/webhooks'

const list = route({
  method: 'get',
  path,
  tags,
  summary: 'List subscriptions',
  middleware,
  request: { params: integrationParam, query: pageQuery },
  responses: { 200: json(z.object({ webhooks: z.array(webhook), nextCursor }), 'Newest first') },
})

const create = route({
  method: 'post',
  path,
  tags,
  summary: 'Subscribe a URL to events',
  middleware,
  request: { params: integrationParam, body: body(input) },
  responses: {
    201: json(z.object({ webhook, secret: z.string() }), 'The secret is shown this once'),
  },
})

const get = route({
  method: 'get',
  path: webhookPath,
  tags,
  summary: 'One subscription with its health',
  middleware,
  request: { params: webhookParam },
  responses: { 200: json(z.object({ webhook }), 'Without its secret') },
})

const patch = route({
  method: 'patch',
  path: webhookPath,
  tags,
  summary: 'Change, disable or enable a subscription',
  middleware,
  request: { params: webhookParam, body: body(input.partial()) },
  responses: { 200: json(ok.extend({ webhook }), 'As it is now') },
})

const remove = route({
  method: 'delete',
  path: webhookPath,
  tags,
  summary: 'Delete a subscription',
  middleware,
  request: { params: webhookParam },
  responses: { 200: json(ok, 'Deleted; what was owed is canceled, the history stays') },
})

export function webhookRoutes(subscriptions: ReturnType<typeof makeSubscriptions>) {
  return makeRouter()
    .openapi(list, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      const { limit, cursor } = c.req.valid('query')
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await subscriptions.list(orgId, integrationId, page), 200)
    })
    .openapi(create, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      const by = actorOf(c)
      return c.json(await subscriptions.create(orgId, integrationId, c.req.valid('json'), by), 201)
    })
    .openapi(get, async (c) => {
      const { orgId, integrationId, webhookId } = c.req.valid('param')
      return c.json({ webhook: await subscriptions.get(orgId, integrationId, webhookId) }, 200)
    })
    .openapi(patch, async (c) => {
      const { orgId, integrationId, webhookId } = c.req.valid('param')
      const change = c.req.valid('json')
      const by = actorOf(c)
      const changed = await subscriptions.update(orgId, integrationId, webhookId, change, by)
      return c.json({ ok: true as const, webhook: changed }, 200)
    })
    .openapi(remove, async (c) => {
      const { orgId, integrationId, webhookId } = c.req.valid('param')
      await subscriptions.remove(orgId, integrationId, webhookId, actorOf(c))
      return c.json({ ok: true as const }, 200)
    })
}
