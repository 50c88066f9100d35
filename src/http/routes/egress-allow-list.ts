import { z } from '@hono/zod-openapi'
import type { makeEgressAllowLists } from '../../integrations/egress-allow-list.ts'
import { actorOf } from '../actor.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { body, json, orgParam } from '../schemas.ts'

const domains = z
  .array(z.string().openapi({ example: 'example.com' }))
  .nullable()
  .openapi({
    description:
      'Host names, or `*.` and a name for everything under it; null: whatever the operator allows',
    example: ['example.com', '*.example.com'],
  })
const path = '/orgs/{orgId}/egress-allow-list'
const tags = ['Orgs']
const middleware = requires('org:tools:manage')

const get = route({
  method: 'get',
  path,
  tags,
  summary: 'The hosts that webhooks and tools of the org may call',
  middleware,
  request: { params: orgParam },
  responses: { 200: json(z.object({ domains }), 'As it is now') },
})

const put = route({
  method: 'put',
  path,
  tags,
  summary: 'Narrow the hosts that webhooks and tools of the org may call',
  middleware,
  request: { params: orgParam, body: body(z.strictObject({ domains })) },
  responses: {
    200: json(z.object({ domains }), 'As it is now; deliveries know by their next try'),
  },
})

const toJson = (list: readonly string[] | null) => (list === null ? null : [...list])

export interface EgressAllowListRoutesDeps {
  readonly egressAllowLists: ReturnType<typeof makeEgressAllowLists>
}

export function egressAllowListRoutes({ egressAllowLists }: EgressAllowListRoutesDeps) {
  return makeRouter()
    .openapi(get, async (c) => {
      const { orgId } = c.req.valid('param')
      return c.json({ domains: toJson(await egressAllowLists.get(orgId)) }, 200)
    })
    .openapi(put, async (c) => {
      const { orgId } = c.req.valid('param')
      const given = c.req.valid('json').domains
      const changed = await egressAllowLists.put(orgId, given, actorOf(c))
      return c.json({ domains: toJson(changed) }, 200)
    })
}
