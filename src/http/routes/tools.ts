import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { AppError } from '../../core/error.ts'
import { TOOL_NAME } from '../../core/tool-name.ts'
import type { makeCatalog } from '../../tools/catalog.ts'
import type { makeToolDefinitions } from '../../tools/definitions.ts'
import { formatTools, TOOL_FORMATS } from '../../tools/formats.ts'
import { httpConfigSchema } from '../../tools/http-config.ts'
import type { makeInvoke, WaitingCall } from '../../tools/invoke.ts'
import { toolRateLimit } from '../../tools/rate-limit.ts'
import { resultOf } from '../../tools/runs.ts'
import { actorOf } from '../actor.ts'
import type { AppEnv } from '../env.ts'
import { mayIn, requires, requiresOfNamedOrg } from '../middleware/auth.ts'
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
    outputSchema: jsonSchema.nullable(),
    httpConfig: httpConfigSchema
      .nullable()
      .openapi({ description: 'null: a tool of an MCP server, called by sourceKey' }),
    rateLimit: toolRateLimit.nullable(),
    isEnabled: z.boolean(),
    approval: z.enum(['auto', 'ask']),
    sourceKey: z.string().nullable(),
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
  outputSchema: jsonSchema.nullable().optional(),
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
const waits = json(
  z.object({
    approval: z.object({
      id: uuid,
      tool: z.string(),
      state: z.literal('pending'),
      arguments: z.unknown(),
      expiresAt: time,
    }),
  }),
  'It waits for approval. The same call again, within a day after it was decided, has its result, once; GET …/approvals/{id} shows how it stands',
)
const tags = ['Tools']
const listDescription =
  'The tools that may be called now, in the shape of the format: each goes into a request to that API as it is. Tools have ' +
  'their wire names there, and schemas that every model API takes: without choices at the root, and with arguments named ' +
  "by letters, digits and underscores (`user_id` for `user-id`). The tool's own schema, which `native` shows, checks the " +
  'arguments when it is run.'
const executeDescription =
  'By its name or its wire name, with arguments by the names of either schema. An `Idempotency-Key`, like the id of the ' +
  "model's tool call, makes sure that it runs once however often it is asked for; a call that waits for approval is asked for " +
  'again with another one.'
const path = '/orgs/{orgId}/integrations/{integrationId}/tools'

const listFlat = route({
  method: 'get',
  path: '/tools',
  tags,
  summary: "An org's tools",
  description: listDescription,
  middleware: requiresOfNamedOrg('org:tools:use'),
  request: { query: formatQuery.extend({ orgId: z.string().min(1) }) },
  responses: { 200: listResponse },
})

const listOfOrg = route({
  method: 'get',
  path: '/orgs/{orgId}/tools',
  tags,
  summary: "An org's tools",
  description: listDescription,
  middleware: requires('org:tools:use'),
  request: { params: orgParam, query: formatQuery },
  responses: { 200: listResponse },
})

const executeFlat = route({
  method: 'post',
  path: '/tools/{name}/execute',
  tags,
  summary: 'Run a tool',
  description: executeDescription,
  middleware: requiresOfNamedOrg('org:tools:use'),
  request: {
    params: z.object({ name: z.string().max(128) }),
    body: body(z.strictObject({ orgId: z.string().min(1), ...call })),
  },
  responses: { 200: ran, 202: waits },
})

const executeOfOrg = route({
  method: 'post',
  path: '/orgs/{orgId}/tools/{name}/execute',
  tags,
  summary: 'Run a tool',
  description: executeDescription,
  middleware: requires('org:tools:use'),
  request: {
    params: orgParam.extend({ name: z.string().max(128) }),
    body: body(z.strictObject({ orgId: z.string().optional(), ...call })),
  },
  responses: { 200: ran, 202: waits },
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
  readonly ask: ReturnType<typeof makeInvoke>['ask']
  readonly wake: () => void
}

export function toolRoutes({ catalog, definitions, ask, wake }: ToolRoutesDeps) {
  const execute = async (
    c: Context<AppEnv>,
    call: {
      orgId: string
      name: string
      args: Record<string, unknown>
      conversationId?: string | undefined
    },
  ) => {
    try {
      const by = actorOf(c)
      const { conversationId = null, ...rest } = call
      const { signal } = c.req.raw
      const traceparent = c.req.header('traceparent') ?? null
      const who = { userId: by.principalId, conversationId, source: 'api', by }
      return await ask({ ...rest, ...who, signal, traceparent }, mayIn(c, rest.orgId))
    } finally {
      wake()
    }
  }

  return makeRouter()
    .openapi(listFlat, async (c) => {
      const { orgId, format } = c.req.valid('query')
      const listed = await catalog.list(orgId, mayIn(c, orgId))
      return c.json({ tools: formatTools(listed, format) }, 200)
    })
    .openapi(listOfOrg, async (c) => {
      const { orgId } = c.req.valid('param')
      const { format } = c.req.valid('query')
      const listed = await catalog.list(orgId, mayIn(c, orgId))
      return c.json({ tools: formatTools(listed, format) }, 200)
    })
    .openapi(executeFlat, async (c) => {
      const { orgId, args, conversationId } = c.req.valid('json')
      const { name } = c.req.valid('param')
      const answer = await execute(c, { orgId, name, args, conversationId })
      return answer.kind === 'ran'
        ? c.json(resultOf(answer.run), 200)
        : c.json({ approval: toPending(answer.waiting) }, 202)
    })
    .openapi(executeOfOrg, async (c) => {
      const { orgId, name } = c.req.valid('param')
      const { orgId: bodyOrgId = orgId, args, conversationId } = c.req.valid('json')
      if (bodyOrgId !== orgId) throw new AppError('NOT_FOUND', 'No such org.')
      const answer = await execute(c, { orgId, name, args, conversationId })
      return answer.kind === 'ran'
        ? c.json(resultOf(answer.run), 200)
        : c.json({ approval: toPending(answer.waiting) }, 202)
    })
    .openapi(list, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      return c.json({ tools: await definitions.list(orgId, integrationId) }, 200)
    })
    .openapi(create, async (c) => {
      const { orgId, integrationId } = c.req.valid('param')
      const given = c.req.valid('json')
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
      const change = c.req.valid('json')
      const changed = await definitions.update(orgId, integrationId, toolId, change, actorOf(c))
      return c.json({ ok: true as const, tool: changed }, 200)
    })
    .openapi(remove, async (c) => {
      const { orgId, integrationId, toolId } = c.req.valid('param')
      await definitions.remove(orgId, integrationId, toolId, actorOf(c))
      return c.json({ ok: true as const }, 200)
    })
}

function toPending({ approvalId, tool, arguments: args, expiresAt }: WaitingCall) {
  return { id: approvalId, tool, state: 'pending' as const, arguments: args, expiresAt }
}
