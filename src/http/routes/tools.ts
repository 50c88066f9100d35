import { z } from '@hono/zod-openapi'
import type { Actor } from '../../core/actor.ts'
import { AppError } from '../../core/error.ts'
import { TOOL_NAME } from '../../core/tool-name.ts'
import type { makeCatalog } from '../../tools/catalog.ts'
import type { makeToolDefinitions } from '../../tools/definitions.ts'
import { formatTools, TOOL_FORMATS } from '../../tools/formats.ts'
import { httpConfigSchema } from '../../tools/http-config.ts'
import { toolRateLimit } from '../../tools/rate-limit.ts'
import type { makeRuns } from '../../tools/runs.ts'
import { actorOf } from '../actor.ts'
import { requires, requiresOfNamedOrg } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { body, json, ok, orgParam, time, uuid } from '../schemas.ts'

const jsonSchema = z.record(z.string(), z.unknown())
const tool = z
  .object({
    id: uuid,
    orgId: z.string(),
    integrationId: uuid,
    name: z.string(),
    wireName: z.string(),
    description: z.string(),
    argsSchema: jsonSchema,
    httpConfig: httpConfigSchema,
    rateLimit: toolRateLimit.nullable(),
    isEnabled: z.boolean(),
    createdAt: time,
    updatedAt: time,
  })
  .openapi('Tool')

const input = z.strictObject({
  name: z
    .string()
    .regex(TOOL_NAME, 'must start with a letter and have at most 128 letters, digits and _ . -')
    .openapi({ example: 'jira.createIssue' }),
  description: z.string().trim().min(1).max(1024),
  argsSchema: jsonSchema,
  httpConfig: httpConfigSchema,
  isEnabled: z.boolean().optional(),
  approval: z.enum(['auto', 'ask']).optional(),
  rateLimit: toolRateLimit.nullable().optional(),
})

const formatQuery = z.object({ format: z.enum(TOOL_FORMATS).default('native') })
const listResponse = json(z.object({ tools: z.array(z.unknown()) }), 'In the shape of the format')
const integrationParam = orgParam.extend({ integrationId: uuid })
const param = integrationParam.extend({ toolId: uuid })
const call = {
  args: z.record(z.string(), z.unknown()).default({}),
  conversationId: z.string().min(1).max(256).optional(),
}
const ran = json(z.object({ runId: uuid, result: z.unknown() }), 'It ran')
const tags = ['Tools']
const path = '/orgs/{orgId}/integrations/{integrationId}/tools'

const listFlat = route({
  method: 'get',
  path: '/tools',
  tags,
  summary: "An org's tools",
  middleware: requiresOfNamedOrg('org:tools:use'),
  request: { query: formatQuery.extend({ orgId: z.string().min(1) }) },
  responses: { 200: listResponse },
})

const listOfOrg = route({
  method: 'get',
  path: '/orgs/{orgId}/tools',
  tags,
  summary: "An org's tools",
  middleware: requires('org:tools:use'),
  request: { params: orgParam, query: formatQuery },
  responses: { 200: listResponse },
})

const executeFlat = route({
  method: 'post',
  path: '/tools/{name}/execute',
  tags,
  summary: 'Run a tool',
  middleware: requiresOfNamedOrg('org:tools:use'),
  request: {
    params: z.object({ name: z.string().max(128) }),
    body: body(z.strictObject({ orgId: z.string().min(1), ...call })),
  },
  responses: { 200: ran },
})

const executeOfOrg = route({
  method: 'post',
  path: '/orgs/{orgId}/tools/{name}/execute',
  tags,
  summary: 'Run a tool',
  middleware: requires('org:tools:use'),
  request: {
    params: orgParam.extend({ name: z.string().max(128) }),
    body: body(z.strictObject({ orgId: z.string().optional(), ...call })),
  },
  responses: { 200: ran },
})

const middleware = requires('org:tools:manage')

const list = route({
  method: 'get',
  path,
  tags,
  summary: 'Tools defined on an integration',
  middleware,
  request: { params: integrationParam },
  responses: { 200: json(z.object({ tools: z.array(tool) }), 'By name') },
})

const create = route({
  method: 'post',
  path,
  tags,
  summary: 'Define a tool',
  middleware,
  request: { params: integrationParam, body: body(input) },
  responses: { 201: json(z.object({ tool }), 'Defined') },
})

const get = route({
  method: 'get',
  path: `${path}/{toolId}`,
  tags,
  summary: 'One tool',
  middleware,
  request: { params: param },
  responses: { 200: json(z.object({ tool }), 'As it is defined') },
})

const patch = route({
  method: 'patch',
  path: `${path}/{toolId}`,
  tags,
  summary: 'Change a tool',
  middleware,
  request: { params: param, body: body(input.partial()) },
  responses: { 200: json(ok.extend({ tool }), 'As it is now') },
})

const remove = route({
  method: 'delete',
  path: `${path}/{toolId}`,
  tags,
  summary: 'Delete a tool',
  middleware,
  request: { params: param },
  responses: { 200: json(ok, 'Deleted; its runs stay') },
})

export interface ToolRoutesDeps {
  readonly catalog: ReturnType<typeof makeCatalog>
  readonly definitions: ReturnType<typeof makeToolDefinitions>
  readonly runs: ReturnType<typeof makeRuns>
  readonly wake: () => void
}

export function toolRoutes({ catalog, definitions, runs, wake }: ToolRoutesDeps) {
  const execute = async (
    invocation: {
      orgId: string
      name: string
      args: Record<string, unknown>
      conversationId: string | undefined
      signal: AbortSignal
    },
    by: Actor,
  ) => {
    try {
      const { conversationId = null, ...rest } = invocation
      const userId = by.principalId
      return await runs.execute({ ...rest, userId, conversationId, source: 'api' }, by)
    } finally {
      wake()
    }
  }

  return makeRouter()
    .openapi(listFlat, async (c) => {
      const { orgId, format } = c.req.valid('query')
      return c.json({ tools: formatTools(await catalog.list(orgId), format) }, 200)
    })
    .openapi(listOfOrg, async (c) => {
      const { orgId } = c.req.valid('param')
      const { format } = c.req.valid('query')
      return c.json({ tools: formatTools(await catalog.list(orgId), format) }, 200)
    })
    .openapi(executeFlat, async (c) => {
      const { orgId, args, conversationId } = c.req.valid('json')
      const { name } = c.req.valid('param')
      const { signal } = c.req.raw
      const run = { orgId, name, args, conversationId, signal }
      return c.json(await execute(run, actorOf(c)), 200)
    })
    .openapi(executeOfOrg, async (c) => {
      const { orgId, name } = c.req.valid('param')
      const { orgId: bodyOrgId = orgId, args, conversationId } = c.req.valid('json')
      if (bodyOrgId !== orgId) throw new AppError('NOT_FOUND', 'No such org.')
      const { signal } = c.req.raw
      const run = { orgId, name, args, conversationId, signal }
      return c.json(await execute(run, actorOf(c)), 200)
    })
    .openapi(list, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      return c.json({ tools: await definitions.list(orgId, integrationId) }, 200)
    })
    .openapi(create, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      const given = withoutUnenforced(c.req.valid('json'))
      return c.json(
        { tool: await definitions.create(orgId, integrationId, given, actorOf(c)) },
        201,
      )
    })
    .openapi(get, async (c) => {
      const { orgId, integrationId, toolId } = c.req.valid('param')
      return c.json({ tool: await definitions.get(orgId, integrationId, toolId) }, 200)
    })
    .openapi(patch, async (c) => {
      const { orgId, integrationId, toolId } = c.req.valid('param')
      const change = withoutUnenforced(c.req.valid('json'))
      const changed = await definitions.update(orgId, integrationId, toolId, change, actorOf(c))
      return c.json({ ok: true as const, tool: changed }, 200)
    })
    .openapi(remove, async (c) => {
      const { orgId, integrationId, toolId } = c.req.valid('param')
      await definitions.remove(orgId, integrationId, toolId, actorOf(c))
      return c.json({ ok: true as const }, 200)
    })
}

/** This one is part of the contract and not enforced by this version: a promise nobody keeps is refused. */
function withoutUnenforced<Input extends { approval?: string | undefined }>(
  given: Input,
): Omit<Input, 'approval'> {
  const { approval, ...rest } = given
  if (approval !== 'ask') return rest
  const path = 'approval'
  const message = 'is not enforced by this version of Patchbay; leave it out'
  throw new AppError('UNPROCESSABLE', `${path}: ${message}`, { details: [{ path, message }] })
}
