import { describe, expect, test } from 'vitest'
import { isEventType } from './event.ts'
import { dataProblem, EVENT_TYPES, withoutContent } from './event-types.ts'

describe.each(EVENT_TYPES.map((entry) => [entry.type, entry] as const))('%s', (type, entry) => {
  test('has a name, a description and an example that fits its schema', () => {
    expect(isEventType(type)).toBe(true)
    expect(entry.description).toMatch(/\.$/)
    expect(dataProblem(type, entry.example)).toBeNull()
  })
})

describe(dataProblem, () => {
  test('names the member that does not fit', () => {
    const example = EVENT_TYPES[0]?.example
    expect(dataProblem('chat.turn.completed', { ...example, model: 1 })).toMatchObject({
      path: 'data.model',
      message: expect.stringContaining('GET /event-types'),
    })
    expect(dataProblem('tool.exec.success', {})?.path).toBe('data.tool')
  })

  test('knows nothing of an org’s own types, and lets members be added to ours', () => {
    expect(dataProblem('invoice.created', { any: 'thing' })).toBeNull()
    const example = EVENT_TYPES[0]?.example
    expect(dataProblem('chat.turn.completed', { ...example, more: 1 })).toBeNull()
  })
})

describe(withoutContent, () => {
  test('leaves out what people wrote, and keeps the bytes of everything else', () => {
    const data = '{"10":1.0, "model":"m","content":{"user":"secret","assistant":"too"}, "b":[] }'
    expect(withoutContent('chat.turn.completed', data)).toBe('{"10":1.0,"model":"m","b":[]}')
    expect(withoutContent('chat.turn.completed', '{"c\\u006fntent":"x"}')).toBe('{}')
    expect(withoutContent('own.type', '{ "content" : 1.0 }')).toBe('{ "content" : 1.0 }')
  })
})
