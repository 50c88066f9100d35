import { z } from '@hono/zod-openapi'
import type { makeApiKeys } from '../../auth/api-keys.ts'
import { PERMISSIONS } from '../../auth/permissions.ts'
import { decodeCursor } from '../../core/cursor.ts'
import { actorOf } from '../actor.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { body, json, nextCursor, ok, orgParam, pageQuery, time, uuid } from '../schemas.ts'

const apiKey = z
  .object({
    id: uuid,
    name: z.string(),
    permissions: z.array(z.enum(PERMISSIONS)),
    hint: z.string().openapi({ description: 'How the key ends' }),
    createdBy: z.string(),
    createdAt: time,
    expiresAt: time.nullable(),
    lastUsedAt: time.nullable().openapi({ description: 'Within a minute' }),
  })
  .openapi('ApiKey')

const input = z.strictObject({
  name: z.string().trim().min(1).max(128),
  permissions: z
    .array(z.enum(PERMISSIONS))
    .min(1)
    .openapi({ description: 'Of those that its maker has' }),
  expiresAt: time.nullable().optional().openapi({ description: 'Never, where it is left out' }),
})

const keyParam = orgParam.extend({ keyId: uuid })
const tags = ['API keys']
const middleware = requires('org:tools:manage')
const path = '/orgs/{orgId}/api-keys'

const list = route({
  method: 'get',
  path,
  tags,
  summary: 'List API keys',
  middleware,
  request: { params: orgParam, query: pageQuery },
  responses: { 200: json(z.object({ apiKeys: z.array(apiKey), nextCursor }), 'Newest first') },
})

const create = route({
  method: 'post',
  path,
  tags,
  summary: 'Make an API key for this org',
  middleware,
  request: { params: orgParam, body: body(input) },
  responses: { 201: json(z.object({ apiKey, key: z.string() }), 'The key is shown this once') },
})

const revoke = route({
  method: 'delete',
  path: `${path}/{keyId}`,
  tags,
  summary: 'Revoke an API key',
  middleware,
  request: { params: keyParam },
  responses: { 200: json(ok, 'It opens nothing any more') },
})

export interface ApiKeyRoutesDeps {
  readonly apiKeys: ReturnType<typeof makeApiKeys>
}

export function apiKeyRoutes({ apiKeys }: ApiKeyRoutesDeps) {
  return makeRouter()
    .openapi(list, async (c) => {
      const { limit, cursor } = c.req.valid('query')
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await apiKeys.list(c.req.valid('param').orgId, page), 200)
    })
    .openapi(create, async (c) => {
      const { orgId } = c.req.valid('param')
      const wanted = c.req.valid('json')
      // Nobody hands on more than they have, a key neither.
      for (const permission of new Set(wanted.permissions)) {
        await c.get('authorize')(orgId, permission)
      }
      return c.json(await apiKeys.create(orgId, wanted, actorOf(c)), 201)
    })
    .openapi(revoke, async (c) => {
      const { orgId, keyId } = c.req.valid('param')
      await apiKeys.revoke(orgId, keyId, actorOf(c))
      return c.json({ ok: true as const }, 200)
    })
}
