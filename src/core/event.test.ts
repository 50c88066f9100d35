import { describe, expect, test } from 'vitest'
import { type EventRecord, eventBody, isEventPattern, isEventType, matches } from './event.ts'
import { EVENT_TYPES, withoutContent } from './event-types.ts'

describe(isEventType, () => {
  test.each(['a', 'chat.turn.completed', 'A_1.b2', 'x'.repeat(128)])('%s is one', (type) => {
    expect(isEventType(type)).toBe(true)
  })
  test.each(['', '.', 'a.', '.a', 'a..b', 'a-b', 'a b', 'ä', 'a.*', '*', 'a\n', 'x'.repeat(129)])(
    '%j is none',
    (type) => {
      expect(isEventType(type)).toBe(false)
    },
  )
})

describe(isEventPattern, () => {
  test.each(['*', 'tool.*', 'a.b.*', 'a.b'])('%s is one', (pattern) => {
    expect(isEventPattern(pattern)).toBe(true)
  })
  test.each(['', '**', '.*', 'tool*', 'tool.*.x', '*.x', 'tool.**', 'a..*', '*\n'])(
    '%j is none',
    (pattern) => {
      expect(isEventPattern(pattern)).toBe(false)
    },
  )
})

describe(matches, () => {
  test.each([
    ['*', 'a', true],
    ['tool.*', 'tool.exec', true],
    ['tool.*', 'tool.exec.error', true],
    ['tool.*', 'tool', false],
    ['tool.*', 'toolbox.x', false],
    ['a.b', 'a.b', true],
    ['a.b', 'a.b.c', false],
    ['a.b', 'A.b', false],
  ])('%s wants %s: %s', (pattern, type, isWanted) => {
    expect(matches(pattern, type)).toBe(isWanted)
  })
})

describe(eventBody, () => {
  const event: EventRecord = {
    id: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02',
    orgId: 'acme',
    type: 'a.b',
    conversationId: 'say "hi"',
    data: '{"n" : 1.0, "big":12345678901234567890}',
    occurredAt: '2026-01-31T12:00:00.000Z',
  }

  test('has these members in this order, and data as it was emitted', () => {
    expect(eventBody(event)).toBe(
      '{"id":"01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02","type":"a.b","timestamp":"2026-01-31T12:00:00.000Z","orgId":"acme","conversationId":"say \\"hi\\"","data":{"n" : 1.0, "big":12345678901234567890}}',
    )
  })

  test('leaves a conversation out where there is none', () => {
    const body = JSON.parse(eventBody({ ...event, conversationId: null }))
    expect(Object.keys(body)).toEqual(['id', 'type', 'timestamp', 'orgId', 'data'])
  })
})

describe(withoutContent, () => {
  test('takes what people wrote out of a turn', () => {
    const data = '{"model":"demo","content":{"user":"hi","assistant":"ho"}}'
    expect(withoutContent('chat.turn.completed', data)).toBe('{"model":"demo"}')
  })

  test('leaves every other event as it is, byte for byte', () => {
    const data = '{ "content" : 1.0 }'
    expect(withoutContent('order.paid', data)).toBe(data)
    expect(withoutContent('tool.exec.error', data)).toBe(data)
  })

  test.each(EVENT_TYPES)('the example of $type fits its schema', ({ type, data, example }) => {
    expect(data.parse(example)).toEqual(example)
    expect(isEventType(type)).toBe(true)
  })
})
