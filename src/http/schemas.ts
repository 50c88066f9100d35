import { z } from '@hono/zod-openapi'
import { EVENT_PATTERN, EVENT_TYPE, MAX_EVENT_TYPE_LENGTH } from '../core/event.ts'
import { MAX_OVERLAP_S } from '../core/rotation.ts'

/** Ids of ours. A path with anything else names nothing, so it is not found. */
export const uuid = z.uuid()

export const eventType = z
  .string()
  .max(MAX_EVENT_TYPE_LENGTH)
  .regex(EVENT_TYPE, 'must be segments of letters, digits and _ joined by dots')
  .openapi({ example: 'chat.turn.completed' })

export const eventPattern = z
  .string()
  .max(MAX_EVENT_TYPE_LENGTH + 2)
  .regex(EVENT_PATTERN, 'must be an event type, a prefix like tool.* or *')
  .openapi({ example: 'tool.*' })

export const time = z.iso
  .datetime({ offset: true })
  .openapi({ example: '2026-01-31T12:00:00.000Z' })

export const orgParam = z.object({ orgId: z.string() })

export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(50).openapi({ description: 'Page size' }),
  cursor: z
    .string()
    .max(512)
    .optional()
    .openapi({ description: '`nextCursor` of the page before' }),
})

export const nextCursor = z.string().nullable()

export const ok = z.object({ ok: z.literal(true) })

export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    error: z.string(),
    requestId: z.string(),
    details: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .openapi('Problem')

/** Of a rotation. */
export const overlapBody = {
  content: {
    'application/json': {
      schema: z.strictObject({
        overlapSeconds: z.int().min(0).max(MAX_OVERLAP_S).optional().openapi({
          description: 'How long the old one stays valid; 0 drops every older one at once',
        }),
      }),
    },
  },
  required: false as const,
}

export const json = <Schema extends z.ZodType>(schema: Schema, description: string) => ({
  content: { 'application/json': { schema } },
  description,
})

export const body = <Schema extends z.ZodType>(schema: Schema) => ({
  content: { 'application/json': { schema } },
  required: true as const,
})
