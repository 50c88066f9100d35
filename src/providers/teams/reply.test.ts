import { expect, test } from 'vitest'
import { replyBody } from './reply.ts'

test('an answer is a message, its Markdown kept', () => {
  expect(JSON.parse(replyBody('**Yes**: [all](https://example.com/a)'))).toEqual({
    type: 'message',
    text: '**Yes**: [all](https://example.com/a)',
  })
})

test('no answer pings anybody or hides where a link goes', () => {
  const { text } = JSON.parse(replyBody('<at>all</at> [bank.example](https://evil.example) \u0007'))
  expect(text).toBe('&lt;at>all&lt;/at> bank.example (https://evil.example) \ufffd')
})

test.each([
  ['letters', 'a', 100_000],
  ['emoji', '🎉', 100_000],
  ['what is long in JSON', '"<', 200_000],
])('an answer of too many %s is cut at 24 KB and says so', (_, sign, length) => {
  const body = replyBody(sign.repeat(100_000))
  expect(Buffer.byteLength(body)).toBeGreaterThan(24_500)
  expect(Buffer.byteLength(body)).toBeLessThanOrEqual(24_576)
  const { text } = JSON.parse(body)
  expect(text.isWellFormed()).toBe(true)
  expect(text).toMatch(new RegExp(`\\n\\n… \\(cut: ${length} characters in all\\)$`))
})
