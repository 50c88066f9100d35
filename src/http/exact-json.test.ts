import { describe, expect, test } from 'vitest'
import { exactData } from './exact-json.ts'

describe('the data of a body', () => {
  test.each([
    ['keeps numbers, spaces and escapes', '{"z":1.10, "big":12345678901234567890,"e":"\\u00e9"}'],
    ['keeps the order of keys that look like numbers', '{"10":"ten","2":"two"}'],
    ['may have punctuation in its texts', '{"a":"}],{\\"data\\":[1","b":"\\\\"}'],
    ['may have a member of its own name', '{"data":{"data":1},"type":"data"}'],
    ['may be anything', '-1.5e3'],
  ])('%s', (_, data) => {
    expect(exactData(`{"type":"data", "data" : ${data} ,"x":{"data":[0]}}`)).toBe(data)
    expect(exactData(`{"data":${data}}`)).toBe(data)
  })

  test('is the last one, as in JSON.parse, under every spelling of its name', () => {
    expect(exactData('{"data":1,"d\\u0061ta":[2, 3]}')).toBe('[2, 3]')
  })

  test('is empty where there is none', () => {
    expect(exactData('{"type":"data","x":{"data":1}}')).toBe('')
  })
})
