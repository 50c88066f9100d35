import { z } from 'zod'

/** An event type that Patchbay itself emits. Hosts and orgs may emit types of their own by the same grammar. */
export interface EventTypeEntry {
  readonly type: string
  readonly description: string
  readonly data: z.ZodObject
  /** Members of `data` that carry what people wrote: left out unless a subscription asks for them. */
  readonly contentMembers: readonly string[]
  readonly example: Readonly<Record<string, unknown>>
}

const id = z.uuid()

export const EVENT_TYPES: readonly EventTypeEntry[] = [
  {
    type: 'chat.turn.completed',
    description: 'A user wrote and the assistant answered: the turn is committed.',
    data: z.object({
      assistantMessageId: id,
      userMessageId: id,
      model: z.string(),
      toolRunIds: z.array(id),
      content: z
        .object({ user: z.string(), assistant: z.string() })
        .optional()
        .describe('What was said. Only for subscriptions with `content: "full"`.'),
    }),
    contentMembers: ['content'],
    example: {
      assistantMessageId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02',
      userMessageId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c01',
      model: 'demo',
      toolRunIds: ['01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c03'],
    },
  },
  {
    type: 'tool.exec.success',
    description: 'A tool ran and returned a result.',
    data: z.object({ tool: z.string(), runId: id, durationMs: z.int() }),
    contentMembers: [],
    example: {
      tool: 'clock.now',
      runId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c03',
      durationMs: 12,
    },
  },
  {
    type: 'tool.exec.error',
    description: 'A tool ran and failed, timed out, or may not be called.',
    data: z.object({ tool: z.string(), runId: id, error: z.string() }),
    contentMembers: [],
    example: {
      tool: 'jira.createIssue',
      runId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c04',
      error: 'HTTP 500',
    },
  },
]

const BY_TYPE = new Map(EVENT_TYPES.map((entry) => [entry.type, entry]))

/** `data` without what people wrote, for events whose type says where that stands; the text itself for all others. */
export function withoutContent(type: string, data: string): string {
  const members = BY_TYPE.get(type)?.contentMembers ?? []
  if (members.length === 0) return data
  const parsed: Record<string, unknown> = JSON.parse(data)
  for (const member of members) delete parsed[member]
  return JSON.stringify(parsed)
}
