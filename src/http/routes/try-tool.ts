import { z } from '@hono/zod-openapi'
import type { makeTryTool } from '../../tools/try-tool.ts'
import { actorOf } from '../actor.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { body, json, orgParam, uuid } from '../schemas.ts'

const headers = z
  .record(z.string(), z.string())
  .openapi({ description: 'By name in lower case; signatures, tokens and secrets are not shown' })

const tried = z
  .object({
    runId: uuid,
    outcome: z.enum(['success', 'error', 'timeout', 'blocked']),
    error: z.string().nullable(),
    result: z.unknown().openapi({ description: 'As whoever runs the tool gets it' }),
    durationMs: z.int(),
    request: z
      .object({ method: z.string(), url: z.string(), headers, body: z.string().nullable() })
      .nullable()
      .openapi({ description: 'null: no request of HTTP left, or it is one of an MCP server' }),
    response: z
      .object({
        statusCode: z.int(),
        headers,
        body: z.string().nullable().openapi({ description: 'null: encoded, unasked' }),
        bodyIsCut: z.boolean(),
      })
      .nullable(),
  })
  .openapi('TriedTool')

const tryTool = route({
  method: 'post',
  path: '/orgs/{orgId}/integrations/{integrationId}/tools/{toolId}/test',
  tags: ['Tools'],
  summary: 'Call a tool and see what went over the line',
  middleware: requires('org:tools:manage'),
  request: {
    params: orgParam.extend({ integrationId: uuid, toolId: uuid }),
    body: body(z.strictObject({ args: z.record(z.string(), z.unknown()).default({}) })),
  },
  responses: {
    200: json(tried, 'A real call and a run, whatever came of it; also of a disabled tool'),
  },
})

export interface TryToolRoutesDeps {
  readonly tryTool: ReturnType<typeof makeTryTool>
  readonly wake: () => void
}

export function tryToolRoutes({ tryTool: run, wake }: TryToolRoutesDeps) {
  return makeRouter().openapi(tryTool, async (c) => {
    const { args } = c.req.valid('json')
    const traceparent = c.req.header('traceparent') ?? null
    const request = { ...c.req.valid('param'), args, traceparent, signal: c.req.raw.signal }
    try {
      return c.json(await run(request, actorOf(c)), 200)
    } finally {
      wake()
    }
  })
}
