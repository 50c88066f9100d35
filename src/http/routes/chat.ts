import { z } from '@hono/zod-openapi'
import { streamSSE } from 'hono/streaming'
import type { makeConversations } from '../../chat/conversations.ts'
import type { makeTurn, TurnProgress } from '../../chat/turn.ts'
import { decodeCursor } from '../../core/cursor.ts'
import type { Log } from '../../telemetry/log.ts'
import { requires } from '../middleware/auth.ts'
import { toAppError, toProblem } from '../problem.ts'
import { makeRouter, route } from '../route.ts'
import { body, json, nextCursor, orgParam, pageQuery, time, uuid } from '../schemas.ts'
import { SECURITY_HEADERS } from '../security-headers.ts'

const MAX_CONTENT_LENGTH = 32_000

const conversation = z
  .object({
    id: uuid,
    orgId: z.string(),
    title: z.string().nullable(),
    createdBy: z.string(),
    createdAt: time,
  })
  .openapi('Conversation')
const message = z
  .object({
    id: uuid,
    conversationId: uuid,
    role: z.enum(['user', 'assistant']),
    content: z.string(),
    model: z.string().nullable(),
    externalUser: z.object({ id: z.string(), name: z.string().nullable() }).nullable(),
    createdAt: time,
  })
  .openapi('Message')
const turnResult = z
  .object({
    userMessage: message,
    assistantMessage: message,
    toolRuns: z.array(
      z.object({
        runId: uuid,
        tool: z.string(),
        outcome: z.string(),
        durationMs: z.int(),
        error: z.string().nullable(),
      }),
    ),
    approvals: z
      .array(z.object({ approvalId: uuid, tool: z.string(), expiresAt: time }))
      .openapi({ description: 'Calls that wait for a person; the turn goes on when decided' }),
  })
  .openapi('Turn')

const tags = ['Chat']
const middleware = requires('org:chat')
const param = orgParam.extend({ conversationId: uuid })

const create = route({
  method: 'post',
  path: '/orgs/{orgId}/conversations',
  tags,
  summary: 'Start a conversation',
  middleware,
  request: {
    params: orgParam,
    body: body(z.strictObject({ title: z.string().trim().min(1).max(200).optional() })),
  },
  responses: { 201: json(z.object({ conversation }), 'Started') },
})

const list = route({
  method: 'get',
  path: '/orgs/{orgId}/conversations',
  tags,
  summary: 'List conversations',
  middleware,
  request: { params: orgParam, query: pageQuery },
  responses: {
    200: json(z.object({ conversations: z.array(conversation), nextCursor }), 'Newest first'),
  },
})

const postTurn = route({
  method: 'post',
  path: '/orgs/{orgId}/conversations/{conversationId}/turns',
  tags,
  summary: 'Say something and get an answer; `Accept: text/event-stream` streams it',
  middleware,
  request: {
    params: param,
    body: body(z.strictObject({ content: z.string().min(1).max(MAX_CONTENT_LENGTH) })),
  },
  responses: { 200: json(turnResult, 'Committed: messages, tool runs and events together') },
})

const listMessages = route({
  method: 'get',
  path: '/orgs/{orgId}/conversations/{conversationId}/messages',
  tags,
  summary: 'Messages of a conversation',
  middleware,
  request: { params: param, query: pageQuery },
  responses: { 200: json(z.object({ messages: z.array(message), nextCursor }), 'Newest first') },
})

export interface ChatRoutesDeps {
  readonly conversations: ReturnType<typeof makeConversations>
  readonly turn: ReturnType<typeof makeTurn>
  readonly wake: () => void
  readonly log: Log
}

export function chatRoutes({ conversations, turn, wake, log }: ChatRoutesDeps) {
  return makeRouter()
    .openapi(create, async (c) => {
      const { title = null } = c.req.valid('json')
      const { orgId } = c.req.valid('param')
      const created = await conversations.create(orgId, c.get('principal').id, title)
      return c.json({ conversation: created }, 201)
    })
    .openapi(list, async (c) => {
      const { limit, cursor } = c.req.valid('query')
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await conversations.list(c.req.valid('param').orgId, page), 200)
    })
    .openapi(listMessages, async (c) => {
      const { orgId, conversationId } = c.req.valid('param')
      const { limit, cursor } = c.req.valid('query')
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await conversations.messages(orgId, conversationId, page), 200)
    })
    .openapi(postTurn, async (c) => {
      const { orgId, conversationId } = c.req.valid('param')
      const { content } = c.req.valid('json')
      await conversations.assertExists(orgId, conversationId)
      const userId = c.get('principal').id
      const input = { orgId, conversationId, content, userId, signal: c.req.raw.signal }
      if (c.req.header('accept')?.includes('text/event-stream') !== true) {
        const done = await turn(input)
        wake()
        return c.json(done, 200)
      }
      const streamed = streamSSE(c, async (stream) => {
        // Writes keep the order in which the turn reported; a slow reader holds nothing but its own stream.
        let written = Promise.resolve()
        const send = (event: string, value: unknown) => {
          written = written.then(() => stream.writeSSE({ event, data: JSON.stringify(value) }))
        }
        try {
          const onProgress = ({ type, ...rest }: TurnProgress) => send(type, rest)
          send('done', await turn({ ...input, onProgress }))
          wake()
        } catch (error) {
          const known = toAppError(error)
          if (known.code === 'INTERNAL') {
            log.error({ err: error, request_id: c.get('requestId') }, 'request.broke')
          }
          send('error', toProblem(known, c.get('requestId'), new URL(c.req.url).pathname))
        }
        await written
      })
      // `streamSSE` has its own, which lets a cache keep what people wrote.
      streamed.headers.set('cache-control', SECURITY_HEADERS['cache-control'])
      // The schema describes the JSON answer; a stream has none that the router's types could hold.
      return streamed as never
    })
}
