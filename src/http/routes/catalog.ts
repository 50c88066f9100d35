import { z } from '@hono/zod-openapi'
import { notFound } from '../../core/error.ts'
import { EVENT_TYPES } from '../../core/event-types.ts'
import type { Provider } from '../../core/provider.ts'
import { makeRouter, route } from '../route.ts'
import { json } from '../schemas.ts'

const jsonSchema = z.record(z.string(), z.unknown())
const provider = z
  .object({
    schemaVersion: z.int(),
    key: z.string(),
    name: z.string(),
    description: z.string(),
    docsUrl: z.string(),
    supportsWebhooks: z.boolean(),
    supportsExternalTools: z.boolean(),
    supportsInbound: z.boolean(),
    install: z.enum(['paste', 'oauth']),
    verification: z.string(),
    credentialsSchema: jsonSchema,
    configSchema: jsonSchema,
    permissions: z.array(z.string()),
    categories: z.array(z.string()),
    version: z.string(),
  })
  .openapi('Provider')
const entry = z
  .object({
    type: z.string(),
    description: z.string(),
    schema: jsonSchema,
    example: z.record(z.string(), z.unknown()),
  })
  .openapi('EventType')
const tags = ['Catalog']

const listProviders = route({
  method: 'get',
  path: '/integrations/providers',
  tags,
  summary: 'Apps that can be installed',
  responses: { 200: json(z.object({ providers: z.array(provider) }), 'The catalogue') },
})

const getProvider = route({
  method: 'get',
  path: '/integrations/providers/{key}',
  tags,
  summary: 'One app',
  request: { params: z.object({ key: z.string() }) },
  responses: { 200: json(z.object({ provider }), 'As in the catalogue') },
})

const listEventTypes = route({
  method: 'get',
  path: '/event-types',
  tags,
  summary: 'Event types that Patchbay emits',
  responses: { 200: json(z.object({ eventTypes: z.array(entry) }), 'All of them') },
})

export function catalogRoutes(providers: readonly Provider[]) {
  const shown = providers.map(showProvider)
  const eventTypes = EVENT_TYPES.map(({ type, description, data, example }) => ({
    type,
    description,
    schema: z.toJSONSchema(data),
    example,
  }))
  return makeRouter()
    .openapi(listProviders, (c) => c.json({ providers: shown }, 200))
    .openapi(getProvider, (c) => {
      const found = shown.find(({ key }) => key === c.req.valid('param').key)
      if (found === undefined) throw notFound('provider')
      return c.json({ provider: found }, 200)
    })
    .openapi(listEventTypes, (c) => c.json({ eventTypes }, 200))
}

function showProvider({ manifest, credentials, config }: Provider) {
  const inputSchema = (schema: z.ZodType) => z.toJSONSchema(schema, { io: 'input' })
  return {
    ...manifest,
    permissions: [...manifest.permissions],
    categories: [...manifest.categories],
    credentialsSchema: inputSchema(credentials),
    configSchema: inputSchema(config),
  }
}
