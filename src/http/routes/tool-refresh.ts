import { z } from '@hono/zod-openapi'
import type { makeRefreshTools } from '../../tools/mcp/client/refresh-tools.ts'
import { actorOf } from '../actor.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { json, orgParam, uuid } from '../schemas.ts'

const names = z.array(z.string())

const refresh = route({
  method: 'post',
  path: '/orgs/{orgId}/integrations/{integrationId}/tools/refresh',
  tags: ['Tools'],
  summary: 'Read the tools of an MCP server again',
  description:
    'Where the server cannot be read (502, 504) the tools stay as they were. Integrations of other providers: 422.',
  middleware: requires('org:tools:manage'),
  request: { params: orgParam.extend({ integrationId: uuid }) },
  responses: {
    200: json(
      z.object({
        tools: z.int().openapi({ description: 'That the server offers, and that can be used' }),
        added: names,
        changed: names,
        removed: names,
        skipped: z.array(z.object({ name: z.string(), reason: z.string() })),
      }),
      'What the server has, and what is different from before',
    ),
  },
})

export interface ToolRefreshRoutesDeps {
  readonly refreshTools: ReturnType<typeof makeRefreshTools>
}

export function toolRefreshRoutes({ refreshTools }: ToolRefreshRoutesDeps) {
  return makeRouter().openapi(refresh, async (c) => {
    const { orgId, integrationId } = c.req.valid('param')
    const { tools, added, changed, removed, skipped } = await refreshTools(
      orgId,
      integrationId,
      actorOf(c),
    )
    const shown = {
      ...{ tools, added: [...added], changed: [...changed] },
      ...{ removed: [...removed], skipped: [...skipped] },
    }
    return c.json(shown, 200)
  })
}
