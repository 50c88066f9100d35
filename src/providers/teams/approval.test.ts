import { expect, test } from 'vitest'
import { EVENT_TYPES } from '../../core/event-types.ts'
import { cardBody } from './card.ts'

function bodyOf(type: string, change: object): string {
  const example = EVENT_TYPES.find((one) => one.type === type)?.example
  const event = {
    id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
    orgId: 'acme',
    type,
    conversationId: 'c-1',
    data: JSON.stringify({ ...example, ...change }),
    occurredAt: '2026-01-31T12:00:00.000Z',
  }
  return cardBody(event, '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c06')
}
const textsOf = (type: string, change: object = {}): string[] =>
  JSON.parse(bodyOf(type, change)).attachments[0].content.body.map(
    ({ text }: { text: string }) => text,
  )

test('a call that waits says who asks for what, until when, and how to decide it', () => {
  expect(textsOf('tool.approval.requested')).toEqual([
    'Approve a tool call? jira.createIssue',
    'Asked for in the chat by ann. It waits until 2026-01-31 13:00 UTC.',
    'An admin decides it by the API: POST /orgs/acme/approvals/01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c07',
    '{\n\n\u00a0\u00a0"title": "Printer on fire"\n\n}',
  ])
  expect(bodyOf('tool.approval.requested', {})).not.toContain('"actions"')
})

test('whose arguments are kept back says how to see them', () => {
  expect(textsOf('tool.approval.requested', { arguments: undefined }).at(-1)).toBe(
    'To see its arguments here, set content to "full" for this webhook.',
  )
})

test('with long arguments is cut, and says so', () => {
  const texts = textsOf('tool.approval.requested', { arguments: { note: 'x'.repeat(50_000) } })
  expect(texts.at(-1)).toMatch(/^… \(cut: 500\d\d characters in all\)$/)
})

test('whoever is named in it cannot call anybody or hide a link', () => {
  const evil = '<at>everyone</at> [https://bank.example](https://evil.example)\n**Approved**'
  const body = bodyOf('tool.approval.requested', {
    tool: evil,
    userId: evil,
    source: evil,
    arguments: { note: evil },
  })
  expect(body).not.toContain('<')
  expect(body).not.toContain('](')
})

test.each([
  [{}, 'Approved by bea: jira.createIssue, asked for by ann.'],
  [
    { state: 'denied', decidedBy: 'slack:U1' },
    'Denied by slack:U1: jira.createIssue, asked for by ann.',
  ],
  [
    { state: 'expired', decidedBy: null },
    'Nobody decided in time: jira.createIssue, asked for by ann. It does not run.',
  ],
])('a decision (%j) is one line', (change, line) => {
  expect(textsOf('tool.approval.decided', change)).toEqual([line])
})
