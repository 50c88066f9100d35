import { describe, expect, test } from 'vitest'
import type { EventRecord } from '../core/event.ts'
import { EVENT_TYPES } from '../core/event-types.ts'
import { type ApprovalEvent, readApproval, utcText } from './approval-event.ts'

function read(type: string, data: unknown): ApprovalEvent | null {
  return readText(type, JSON.stringify(data))
}

function readText(type: string, data: string): ApprovalEvent | null {
  const event: EventRecord = {
    id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
    orgId: 'acme',
    type,
    conversationId: null,
    data,
    occurredAt: '2026-01-31T12:00:00.000Z',
  }
  return readApproval(event)
}

function exampleOf(type: string) {
  const entry = EVENT_TYPES.find((one) => one.type === type)
  if (entry === undefined) throw new Error(`there is no type ${type}`)
  return entry.example
}

const REQUESTED = exampleOf('tool.approval.requested')
const DECIDED = exampleOf('tool.approval.decided')

test('a request is read with its arguments laid out', () => {
  expect(read('tool.approval.requested', REQUESTED)).toEqual({
    kind: 'requested',
    approvalId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c07',
    tool: 'jira.createIssue',
    userId: 'ann',
    place: 'in the chat',
    argumentsText: '{\n  "title": "Printer on fire"\n}',
    isWhole: true,
    expiresAt: new Date('2026-01-31T13:00:00.000Z'),
  })
})

test('a decision is read with who made it', () => {
  expect(read('tool.approval.decided', DECIDED)).toEqual({
    kind: 'decided',
    tool: 'jira.createIssue',
    userId: 'ann',
    place: 'in the chat',
    state: 'approved',
    decidedBy: 'bea',
  })
  const expired = { ...DECIDED, state: 'expired', decidedBy: null, runId: null }
  expect(read('tool.approval.decided', expired)).toMatchObject({ decidedBy: null })
})

test.each([
  ['api', 'by the API'],
  ['mcp', 'by MCP'],
  ['slack', 'in slack'],
  ['constructor', 'in constructor'],
  ['<!channel>', 'elsewhere'],
])('what was asked for from %s says so', (source, place) => {
  expect(read('tool.approval.requested', { ...REQUESTED, source })).toMatchObject({ place })
})

test('without arguments there are none to show', () => {
  const { arguments: _, ...thin } = REQUESTED
  expect(read('tool.approval.requested', thin)).toMatchObject({
    argumentsText: null,
    isWhole: false,
  })
})

test('arguments that were too long to keep are not whole', () => {
  const isWhole = (given: unknown) => {
    const event = read('tool.approval.requested', { ...REQUESTED, arguments: given })
    return event?.kind === 'requested' && event.isWhole
  }
  const cut = '{"note":"x… [cut: 20000 bytes in all]'
  expect([{ cut }, { cut: 'the rope' }, { note: cut }].map(isWhole)).toEqual([false, true, true])
})

describe('arguments', () => {
  const shown = (json: string) => {
    const { arguments: _, ...rest } = REQUESTED
    const data = `${JSON.stringify(rest).slice(0, -1)},"arguments":${json}}`
    const event = readText('tool.approval.requested', data)
    return event?.kind === 'requested' ? event.argumentsText : undefined
  }

  test('keep a number beyond a double, and keys in their order', () => {
    const json = '{"b":12345678901234567890,"1":0,"a":1.0}'
    expect(shown(json)).toBe(json)
  })

  test('show what is invisible or turns the direction as escapes, and leave emoji whole', () => {
    expect(shown('{"a":"\u202egpj\u200b \u{e0041}👨‍👩‍👧 x"}')).toBe(
      '{\n  "a": "\\u202egpj\\u200b \\udb40\\udc41👨‍👩‍👧 x"\n}',
    )
  })

  test('that are nested deeply are not laid out', () => {
    const json = `${'['.repeat(5000)}${']'.repeat(5000)}`
    expect(shown(json)).toBe(json)
  })
})

test('a name that would write further lines stays on its own, and is cut', () => {
  const userId = `ann\n\u2028\u202e*Approved*\u0000${'x'.repeat(500)}`
  const event = read('tool.approval.requested', { ...REQUESTED, userId, tool: ' \n ' })
  expect(event?.userId).toMatch(/^ann \*Approved\* x+…$/)
  expect(event?.userId.length).toBe(128)
  expect(event?.tool).toBe('?')
})

test.each([
  ['another event', 'chat.turn.completed', REQUESTED],
  ['data without an id', 'tool.approval.requested', { ...REQUESTED, approvalId: 'x' }],
  ['data without a time', 'tool.approval.requested', { ...REQUESTED, expiresAt: 'soon' }],
  ['data of another state', 'tool.approval.decided', { ...DECIDED, state: 'pending' }],
  ['no data', 'tool.approval.decided', {}],
])('%s is none', (_, type, data) => {
  expect(read(type, data)).toBeNull()
})

test('a time is told to the minute, with its zone', () => {
  expect(utcText(new Date('2026-01-31T13:05:59.999Z'))).toBe('2026-01-31 13:05 UTC')
})
