import { z } from '@hono/zod-openapi'
import { decodeCursor } from '../../core/cursor.ts'
import { DEFAULT_OVERLAP_S } from '../../core/rotation.ts'
import type { makeIntegrations } from '../../integrations/integrations.ts'
import { actorOf } from '../actor.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import {
  body,
  json,
  nextCursor,
  ok,
  orgParam,
  overlapBody,
  pageQuery,
  time,
  uuid,
} from '../schemas.ts'

const record = z.record(z.string(), z.unknown())
const integration = z
  .object({
    id: uuid,
    orgId: z.string(),
    provider: z.object({ key: z.string(), name: z.string() }),
    name: z.string(),
    isEnabled: z.boolean(),
    config: record,
    credentialFields: z.array(z.string()),
    externalName: z.string().nullable(),
    status: z.enum(['connected', 'needs_attention', 'disconnected']),
    statusDetail: z.string().nullable(),
    createdAt: time,
    updatedAt: time,
  })
  .openapi('Integration')
const param = orgParam.extend({ integrationId: uuid })
const name = z.string().trim().min(1).max(128)
const tags = ['Integrations']
const middleware = requires('org:tools:manage')
const path = '/orgs/{orgId}/integrations'

const list = route({
  method: 'get',
  path,
  tags,
  summary: 'List integrations',
  middleware,
  request: { params: orgParam, query: pageQuery },
  responses: {
    200: json(z.object({ integrations: z.array(integration), nextCursor }), 'Oldest first'),
  },
})

const create = route({
  method: 'post',
  path,
  tags,
  summary: 'Install an app',
  middleware,
  request: {
    params: orgParam,
    body: body(
      z.strictObject({
        providerKey: z.string().min(1).max(64).openapi({ example: 'generic-webhook' }),
        name,
        credentials: record.optional(),
        config: record.optional(),
      }),
    ),
  },
  responses: {
    201: json(
      z.object({
        integration,
        inboundSecret: z.string().optional(),
        toolSecret: z.string().optional(),
      }),
      'Installed; the secrets of ours, for what is sent to us and for calls of its tools, are shown once',
    ),
  },
})

const verify = route({
  method: 'post',
  path: `${path}/{integrationId}/verify`,
  tags,
  summary: 'Try the credentials against the app',
  middleware,
  request: { params: param },
  responses: {
    200: json(
      z.object({ ok: z.boolean(), detail: z.string() }),
      'What was tried, and what came of it',
    ),
  },
})

const rotated = z.object({ secret: z.string(), previousExpiresAt: time })

const rotateInboundSecret = route({
  method: 'post',
  path: `${path}/{integrationId}/rotate-inbound-secret`,
  tags,
  summary: 'A new secret for what is sent to us',
  middleware,
  request: { params: param, body: overlapBody },
  responses: { 200: json(rotated, 'Shown once; the one until now is taken until then') },
})

const rotateToolSecret = route({
  method: 'post',
  path: `${path}/{integrationId}/rotate-tool-secret`,
  tags,
  summary: 'A new secret for the calls of its tools',
  middleware,
  request: { params: param, body: overlapBody },
  responses: { 200: json(rotated, 'Shown once; the one until now signs too until then') },
})

const get = route({
  method: 'get',
  path: `${path}/{integrationId}`,
  tags,
  summary: 'One integration',
  middleware,
  request: { params: param },
  responses: { 200: json(z.object({ integration }), 'Without its credentials') },
})

const patch = route({
  method: 'patch',
  path: `${path}/{integrationId}`,
  tags,
  summary: 'Change an integration',
  middleware,
  request: {
    params: param,
    body: body(
      z.strictObject({
        name: name.optional(),
        isEnabled: z.boolean().optional(),
        config: record.optional(),
        credentials: record.optional(),
      }),
    ),
  },
  responses: { 200: json(ok.extend({ integration }), 'As it is now') },
})

const remove = route({
  method: 'delete',
  path: `${path}/{integrationId}`,
  tags,
  summary: 'Remove an integration with its subscriptions and tools',
  middleware,
  request: { params: param },
  responses: { 200: json(ok, 'Removed; what was owed is canceled, the history stays') },
})

export function integrationRoutes(integrations: ReturnType<typeof makeIntegrations>) {
  return makeRouter()
    .openapi(list, async (c) => {
      const { limit, cursor } = c.req.valid('query')
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await integrations.list(c.req.valid('param').orgId, page), 200)
    })
    .openapi(create, async (c) => {
      const { orgId } = c.req.valid('param')
      return c.json(await integrations.create(orgId, c.req.valid('json'), actorOf(c)), 201)
    })
    .openapi(verify, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      return c.json(await integrations.verify(orgId, integrationId), 200)
    })
    .openapi(rotateInboundSecret, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      const overlapS = c.req.valid('json').overlapSeconds ?? DEFAULT_OVERLAP_S
      const by = actorOf(c)
      return c.json(await integrations.rotateInboundSecret(orgId, integrationId, overlapS, by), 200)
    })
    .openapi(rotateToolSecret, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      const overlapS = c.req.valid('json').overlapSeconds ?? DEFAULT_OVERLAP_S
      const by = actorOf(c)
      return c.json(await integrations.rotateToolSecret(orgId, integrationId, overlapS, by), 200)
    })
    .openapi(get, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      return c.json({ integration: await integrations.get(orgId, integrationId) }, 200)
    })
    .openapi(patch, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      const by = actorOf(c)
      const changed = await integrations.update(orgId, integrationId, c.req.valid('json'), by)
      return c.json({ ok: true as const, integration: changed }, 200)
    })
    .openapi(remove, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      await integrations.remove(orgId, integrationId, actorOf(c))
      return c.json({ ok: true as const }, 200)
    })
}
