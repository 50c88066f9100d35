import { describe, expect, test } from 'vitest'
import { membersOf } from './json-text.ts'

describe(membersOf, () => {
  test('keeps names, numbers, escapes and order as they are written', () => {
    const text =
      ' { "z" : 1.10,"10":[{"a":1},"}]"] ,\n"\\u0061\\"":"\\\\", "big":12345678901234567890 }'
    expect(membersOf(text)).toEqual([
      { name: 'z', value: '1.10', text: '"z" : 1.10' },
      { name: '10', value: '[{"a":1},"}]"]', text: '"10":[{"a":1},"}]"]' },
      { name: 'a"', value: '"\\\\"', text: '"\\u0061\\"":"\\\\"' },
      { name: 'big', value: '12345678901234567890', text: '"big":12345678901234567890' },
    ])
  })

  test('finds each of two of one name, and none in an empty object', () => {
    expect(membersOf('{"a":1,"a":2}').map(({ value }) => value)).toEqual(['1', '2'])
    expect(membersOf(' {} ')).toEqual([])
  })
})
