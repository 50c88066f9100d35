import { z } from 'zod'
import type { ErrorDetail } from './error.ts'
import { membersOf } from './json-text.ts'

/** An event type that Patchbay itself emits. Hosts and orgs may emit types of their own by the same grammar. */
export interface EventTypeEntry {
  readonly type: string
  /** What happened, in a few words for people. */
  readonly title: string
  readonly description: string
  readonly data: z.ZodObject
  /** Members of `data` that carry what people wrote: left out unless a subscription asks for them. */
  readonly contentMembers: readonly string[]
  readonly example: Readonly<Record<string, unknown>>
}

const id = z.uuid()
const time = z.iso.datetime()
const webhook = z.object({ webhookId: id, integrationId: id, url: z.string() })
const WEBHOOK = {
  webhookId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c05',
  integrationId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c06',
  url: 'https://example.com/hooks',
}

const approval = z.object({
  approvalId: id,
  tool: z.string(),
  userId: z.string().describe('Who asked for the call.'),
  source: z.string().describe('Where: chat, api, mcp, or the app, like slack.'),
})
const APPROVAL = {
  approvalId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c07',
  tool: 'jira.createIssue',
  userId: 'ann',
  source: 'chat',
}

export const EVENT_TYPES: readonly EventTypeEntry[] = [
  {
    type: 'chat.turn.completed',
    title: 'The assistant answered',
    description: 'A user wrote and the assistant answered: the turn is committed.',
    data: z.object({
      assistantMessageId: id,
      userMessageId: id,
      model: z.string(),
      toolRunIds: z.array(id),
      via: z
        .object({
          integrationId: id,
          user: z.object({ id: z.string(), name: z.string().nullable() }),
        })
        .optional()
        .describe('The app that the user wrote in, and who that is there.'),
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
    title: 'A tool ran',
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
    title: 'A tool failed',
    description: 'A tool ran and failed, timed out, or may not be called.',
    data: z.object({ tool: z.string(), runId: id, error: z.string() }),
    contentMembers: [],
    example: {
      tool: 'jira.createIssue',
      runId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c04',
      error: 'HTTP 500',
    },
  },
  {
    type: 'tool.approval.requested',
    title: 'A tool call waits for approval',
    description:
      'The assistant or a person asked for a tool that somebody has to approve first. It runs once, when it is.',
    data: approval.extend({ arguments: z.unknown(), expiresAt: time }),
    contentMembers: ['arguments'],
    example: {
      ...APPROVAL,
      arguments: { title: 'Printer on fire' },
      expiresAt: '2026-01-31T13:00:00.000Z',
    },
  },
  {
    type: 'tool.approval.decided',
    title: 'A tool call was decided',
    description: 'A tool call that waited was approved or denied, or nobody decided in time.',
    data: approval.extend({
      state: z.enum(['approved', 'denied', 'expired']),
      decidedBy: z.string().nullable(),
      runId: id.nullable(),
    }),
    contentMembers: [],
    example: {
      ...APPROVAL,
      state: 'approved',
      decidedBy: 'bea',
      runId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c05',
    },
  },
  {
    type: 'webhook.test',
    title: 'A test of this webhook',
    description: 'Somebody asked for a test of a subscription. Sent to that subscription only.',
    data: z.object({ webhookId: id, message: z.string() }),
    contentMembers: [],
    example: {
      webhookId: WEBHOOK.webhookId,
      message: 'A test, sent because somebody asked for it.',
    },
  },
  {
    type: 'webhook.subscription.failing',
    title: 'A webhook keeps failing',
    description:
      'Ten tries in a row failed: the circuit of the subscription is open. Told once, until it recovers; of a hundred subscriptions of an org at a time.',
    data: webhook.extend({
      consecutiveFailures: z.int(),
      failingSince: time.nullable(),
      lastError: z.string().nullable(),
    }),
    contentMembers: [],
    example: {
      ...WEBHOOK,
      consecutiveFailures: 10,
      failingSince: '2026-01-31T12:00:00.000Z',
      lastError: 'HTTP 500',
    },
  },
  {
    type: 'webhook.subscription.disabled',
    title: 'A webhook was disabled',
    description:
      'A subscription was disabled, by a person or by its receiver. What is owed is held.',
    data: webhook.extend({ reason: z.string().nullable() }),
    contentMembers: [],
    example: {
      ...WEBHOOK,
      reason: 'The receiver answered 410 Gone: it wants nothing more.',
    },
  },
  {
    type: 'webhook.subscription.recovered',
    title: 'A webhook works again',
    description: 'A delivery succeeded again: the circuit is closed, and what was held goes out.',
    data: webhook.extend({ failingSince: time.nullable(), recoveredAt: time.nullable() }),
    contentMembers: [],
    example: {
      ...WEBHOOK,
      failingSince: '2026-01-31T12:00:00.000Z',
      recoveredAt: '2026-01-31T14:30:00.000Z',
    },
  },
  {
    type: 'app.notice',
    title: 'A notice',
    description:
      'Something for the people of an app, in the channel where they asked. Sent there only.',
    data: z.object({ text: z.string() }),
    contentMembers: [],
    example: { text: 'I could not answer that just now. Please ask again in a few minutes.' },
  },
  {
    type: 'integration.needs_attention',
    title: 'An app needs attention',
    description: 'An app refuses its credentials or its webhook: somebody has to do something.',
    data: z.object({ integrationId: id, providerKey: z.string(), detail: z.string() }),
    contentMembers: [],
    example: {
      integrationId: WEBHOOK.integrationId,
      providerKey: 'slack',
      detail: 'The Slack webhook was removed: create a new one and paste it here.',
    },
  },
]

const BY_TYPE = new Map(EVENT_TYPES.map((entry) => [entry.type, entry]))

/** What happened, in words; types of an org's own stand for themselves. */
export function titleOf(type: string): string {
  return BY_TYPE.get(type)?.title ?? type
}

/** Why `data` is not what its event type says it is: a member of it, and what is wrong. null for types of an org's own. */
export function dataProblem(type: string, data: unknown): ErrorDetail | null {
  const parsed = BY_TYPE.get(type)?.data.safeParse(data)
  if (parsed === undefined || parsed.success) return null
  const [issue] = parsed.error.issues
  return {
    path: ['data', ...(issue?.path.map(String) ?? [])].join('.'),
    message: `${issue?.message ?? 'is not valid'} (see GET /event-types for ${type})`,
  }
}

/**
 * `data` without what people wrote, for events whose type says where that stands; the text itself for all others. What stays
 * is as it was written.
 */
export function withoutContent(type: string, data: string): string {
  const hidden = BY_TYPE.get(type)?.contentMembers ?? []
  if (hidden.length === 0) return data
  const shown = membersOf(data).filter(({ name }) => !hidden.includes(name))
  return `{${shown.map(({ text }) => text).join(',')}}`
}
