import type { EventRecord } from '../../src/core/event.ts'
import { EVENT_TYPES } from '../../src/core/event-types.ts'

/** What people and models write, and what breaks those who cut, escape or count it wrongly. */
const TEXTS: Readonly<Record<string, string>> = {
  'a word': 'hello',
  nothing: '',
  '40,000 characters': 'word '.repeat(8000),
  '40,000 characters without a space': 'x'.repeat(40_000),
  '40,000 that are escaped': '<&">\\\n'.repeat(6667),
  'emoji beyond every limit': '👩‍👩‍👧‍👦'.repeat(3000),
  'letters with a hundred marks each': `a${'\u0301'.repeat(100)}`.repeat(200),
  'mentions and fake links':
    '<!channel> <!here> <@U012AB3CD> <!subteam^S1> @everyone <at>Ann</at> <https://evil.example.com|bank.example.com> [bank.example.com](https://evil.example.com)',
  'control characters': '\u0000\u0001\u0007\u001b[31m\u007f\u0085\u2028\u2029\ufeff\u202e',
  'half surrogate pairs': 'a\ud83db\udc4dc \udfff\ud800',
  'markdown that never ends': '```js\n**bold _it [text](',
  'many lines': '\n'.repeat(5000),
  'many blocks of code': '```\nx\n```\n\n| a | b |\n|---|---|\n\n'.repeat(400),
}

const IDS = {
  assistantMessageId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02',
  userMessageId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c01',
  model: 'demo',
  toolRunIds: [],
}

const APPROVAL_ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c07'

/** A call that waits, and one that was decided, with this text wherever somebody else chose it. */
function approvalsOf(text: string): readonly (readonly [string, unknown])[] {
  const asked = { approvalId: APPROVAL_ID, tool: text, userId: text, source: text }
  const expiresAt = '2026-01-31T13:00:00.000Z'
  return [
    ['tool.approval.requested', { ...asked, arguments: { [text]: [text] }, expiresAt }],
    ['tool.approval.decided', { ...asked, state: 'approved', decidedBy: text, runId: null }],
  ]
}

function makeEvent(type: string, data: unknown, conversationId: string | null): EventRecord {
  return {
    id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
    orgId: 'acme',
    type,
    conversationId,
    data: JSON.stringify(data),
    occurredAt: '2026-01-31T12:00:00.000Z',
  }
}

/** Title and event: what any provider may be handed. */
export const EVENTS: readonly (readonly [string, EventRecord])[] = [
  ...EVENT_TYPES.map(
    ({ type, example }) => [`the example of ${type}`, makeEvent(type, example, 'c-1')] as const,
  ),
  // An org's own code may write to the outbox what the catalogue does not know, or knows otherwise.
  ...EVENT_TYPES.map(
    ({ type }) => [`a ${type} without its data`, makeEvent(type, {}, null)] as const,
  ),
  ['a turn whose content is null', makeEvent('chat.turn.completed', { content: null }, 'c-1')],
  [
    'a turn whose content is of other types',
    makeEvent('chat.turn.completed', { content: { user: 1, assistant: [] }, via: 'x' }, 'c-1'),
  ],
  ['an event of an org’s own', makeEvent('invoice.created', { total: 1.5, 'a b': [null] }, null)],
  ['a conversation with an odd id', makeEvent('invoice.created', {}, '"<!channel>\\\u0001')],
  ...Object.entries(TEXTS).flatMap(([name, text]) =>
    approvalsOf(text).map(
      ([type, data]) => [`a ${type} of ${name}`, makeEvent(type, data, 'c-1')] as const,
    ),
  ),
  ...Object.entries(TEXTS).flatMap(([name, text]) => [
    [
      `a turn of ${name}`,
      makeEvent('chat.turn.completed', { ...IDS, content: { user: text, assistant: text } }, 'c-1'),
    ] as const,
    [`a notice of ${name}`, makeEvent('app.notice', { text }, 'c-1')] as const,
    [
      `an event with ${name}`,
      makeEvent('tool.exec.error', { tool: 'a', error: text }, null),
    ] as const,
  ]),
]
