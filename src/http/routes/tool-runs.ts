import { z } from '@hono/zod-openapi'
import { decodeCursor } from '../../core/cursor.ts'
import { MAX_HOST_ID_LENGTH } from '../../core/event.ts'
import { type makeRunHistory, RUN_OUTCOMES } from '../../tools/run-history.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { json, nextCursor, orgParam, pageQuery, time, uuid } from '../schemas.ts'

const MAX_TOOL_NAME_LENGTH = 128
const MAX_SOURCE_LENGTH = 64

const run = z
  .object({
    id: uuid,
    tool: z.string(),
    toolId: uuid.nullable(),
    integrationId: uuid.nullable(),
    host: z.string().nullable().openapi({ description: 'That was called; null: a built-in tool' }),
    source: z.string().openapi({ description: 'chat, api, mcp, or the app, like slack' }),
    userId: z.string(),
    conversationId: z.string().nullable(),
    outcome: z
      .enum(RUN_OUTCOMES)
      .openapi({ description: 'unknown: nobody could say whether the endpoint did it' }),
    error: z.string().nullable(),
    durationMs: z.int().nullable(),
    attempts: z.int().openapi({ description: 'Requests that left' }),
    approvalId: uuid.nullable(),
    startedAt: time,
    finishedAt: time.nullable(),
  })
  .openapi('ToolRun')

const detail = run
  .extend({
    arguments: z.unknown().openapi({ description: 'Without secrets; cut where they are long' }),
    result: z
      .unknown()
      .openapi({ description: 'JSON; where it is cut, what was kept of its text' }),
    resultIsCut: z.boolean(),
  })
  .openapi('ToolRunDetail')

const middleware = requires('org:tools:manage')
const tags = ['Tools']

const listRuns = route({
  method: 'get',
  path: '/orgs/{orgId}/tool-runs',
  tags,
  summary: 'List runs of tools',
  middleware,
  request: {
    params: orgParam,
    query: pageQuery.extend({
      tool: z.string().min(1).max(MAX_TOOL_NAME_LENGTH).optional().openapi({
        description: 'Name or wire name of a tool of today, or the name it had when it ran',
      }),
      outcome: z.enum(RUN_OUTCOMES).optional(),
      conversationId: z.string().min(1).max(MAX_HOST_ID_LENGTH).optional(),
      source: z.string().min(1).max(MAX_SOURCE_LENGTH).optional(),
      since: time.optional(),
      until: time.optional(),
    }),
  },
  responses: {
    200: json(z.object({ toolRuns: z.array(run), nextCursor }), 'Newest first'),
  },
})

const getRun = route({
  method: 'get',
  path: '/orgs/{orgId}/tool-runs/{runId}',
  tags,
  summary: 'One run, with what went in and came out',
  middleware,
  request: { params: orgParam.extend({ runId: uuid }) },
  responses: { 200: json(z.object({ toolRun: detail }), 'Found') },
})

export interface ToolRunRoutesDeps {
  readonly runHistory: ReturnType<typeof makeRunHistory>
}

const toDate = (text: string | undefined) => (text === undefined ? null : new Date(text))

export function toolRunRoutes({ runHistory }: ToolRunRoutesDeps) {
  return makeRouter()
    .openapi(listRuns, async (c) => {
      const { limit, cursor, since, until, ...given } = c.req.valid('query')
      const filter = {
        tool: given.tool ?? null,
        outcome: given.outcome ?? null,
        conversationId: given.conversationId ?? null,
        source: given.source ?? null,
        since: toDate(since),
        until: toDate(until),
      }
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await runHistory.list(c.req.valid('param').orgId, filter, page), 200)
    })
    .openapi(getRun, async (c) => {
      const { orgId, runId } = c.req.valid('param')
      return c.json({ toolRun: await runHistory.get(orgId, runId) }, 200)
    })
}
