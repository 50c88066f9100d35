import { z } from '@hono/zod-openapi'
import type { Actor } from '../../core/actor.ts'
import { decodeCursor } from '../../core/cursor.ts'
import { AppError, notFound } from '../../core/error.ts'
import { APPROVAL_STATES } from '../../tools/approval-queries.ts'
import type { Approval, makeApprovals } from '../../tools/approvals.ts'
import { actorOf } from '../actor.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { body, json, nextCursor, orgParam, pageQuery, time, uuid } from '../schemas.ts'

const approval = z
  .object({
    id: uuid,
    tool: z.string(),
    toolId: uuid,
    integrationId: uuid,
    userId: z.string().openapi({ description: 'Who asked for the call' }),
    source: z.string().openapi({ description: 'Where: chat, api, mcp, or the app, like slack' }),
    conversationId: z.string().nullable(),
    arguments: z
      .unknown()
      .openapi({ description: 'All of them, without secrets; in a list, `{ cut }` of long ones' }),
    callHash: z.string().openapi({
      description: 'SHA-256 of the tool as it is defined and the arguments: nothing else is run',
    }),
    state: z.enum(APPROVAL_STATES),
    decidedBy: z.string().nullable(),
    decidedAt: time.nullable(),
    expiresAt: time,
    runId: uuid.nullable(),
    outcome: z.string().nullable().openapi({ description: 'Of the run, when it has begun' }),
    createdAt: time,
  })
  .openapi('Approval')
const tags = ['Approvals']
const path = '/orgs/{orgId}/approvals'
const param = orgParam.extend({ approvalId: uuid })

const list = route({
  method: 'get',
  path,
  tags,
  summary: 'Tool calls that wait, or waited, for a person',
  middleware: requires('org:tools:manage'),
  request: {
    params: orgParam,
    query: pageQuery.extend({ state: z.enum(APPROVAL_STATES).optional() }),
  },
  responses: {
    200: json(z.object({ approvals: z.array(approval), nextCursor }), 'Newest first'),
  },
})

const get = route({
  method: 'get',
  path: `${path}/{approvalId}`,
  tags,
  summary: 'One approval: of any call for who may decide, of their own calls for others',
  middleware: requires('org:tools:use'),
  request: { params: param },
  responses: { 200: json(z.object({ approval }), 'As it stands') },
})

const decide = route({
  method: 'post',
  path: `${path}/{approvalId}`,
  tags,
  summary: 'Approve or deny a tool call; approved, it runs once',
  middleware: requires('org:tools:manage'),
  request: {
    params: param,
    body: body(z.strictObject({ decision: z.enum(['approve', 'deny']) })),
  },
  responses: { 200: json(z.object({ approval }), 'Decided; the run, approved, begins at once') },
})

export interface ApprovalRoutesDeps {
  readonly approvals: ReturnType<typeof makeApprovals>
  readonly decide: (
    orgId: string,
    approvalId: string,
    decision: 'approve' | 'deny',
    by: Actor,
  ) => Promise<Approval>
  readonly wake: () => void
}

export function approvalRoutes({ approvals, decide: decideOne, wake }: ApprovalRoutesDeps) {
  return makeRouter()
    .openapi(list, async (c) => {
      const { limit, cursor, state = null } = c.req.valid('query')
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await approvals.list(c.req.valid('param').orgId, state, page), 200)
    })
    .openapi(get, async (c) => {
      const { orgId, approvalId } = c.req.valid('param')
      const found = await approvals.get(orgId, approvalId)
      if (found.userId !== c.get('principal').id) {
        await c
          .get('authorize')(orgId, 'org:tools:manage')
          .catch((error: unknown) => {
            const isNotTheirs = error instanceof AppError && error.code === 'FORBIDDEN'
            throw isNotTheirs ? notFound('approval') : error
          })
      }
      return c.json({ approval: found }, 200)
    })
    .openapi(decide, async (c) => {
      const { orgId, approvalId } = c.req.valid('param')
      const { decision } = c.req.valid('json')
      const decided = await decideOne(orgId, approvalId, decision, actorOf(c))
      wake()
      return c.json({ approval: decided }, 200)
    })
}
