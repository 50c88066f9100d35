import { describe, expect, test } from 'vitest'
import { fillText, fillUrl, missingFilling } from './fill.ts'
import type { HttpConfig } from './http-config.ts'

const FILLINGS = {
  credentials: { token: 't k&n', odd: '{args.id}' },
  config: { project: 'a/b', n: 7 },
}

function fill(url: string, args: Record<string, unknown>, query?: Record<string, string>): string {
  const config: HttpConfig = { method: 'GET', url, ...(query === undefined ? {} : { query }) }
  return fillUrl(config, FILLINGS, args)
}

describe(fillUrl, () => {
  test.each([
    ['a slash', 'a/b', 'a%2Fb'],
    ['a way up', '../admin', '..%2Fadmin'],
    ['a query', 'a?b=c&d', 'a%3Fb%3Dc%26d'],
    ['a fragment', 'a#b', 'a%23b'],
    ['something encoded', '%2e%2e', '%252e%252e'],
    ['a line break', 'a\r\nb', 'a%0D%0Ab'],
    ['another placeholder', '{{credentials.token}}', '%7B%7Bcredentials.token%7D%7D'],
    ['half a character', 'a\ud800', 'a%EF%BF%BD'],
    ['a number', 5, '5'],
    ['an object', { a: 1 }, '%7B%22a%22%3A1%7D'],
  ])('an argument with %s stays in its segment', (_, id, encoded) => {
    const url = fill('https://example.com/items/{args.id}/x', { id })
    expect(url).toBe(`https://example.com/items/${encoded}/x`)
    expect(new URL(url).pathname).toBe(`/items/${encoded}/x`)
  })

  test.each([
    ['https://example.com/items/{args.a}/x', { a: '..' }],
    ['https://example.com/items/{args.a}/x', { a: '.' }],
    ['https://example.com/items/.{args.a}/x', { a: '.' }],
    ['https://example.com/items/{args.a}{args.b}/x', { a: '.', b: '.' }],
    ['https://example.com/items/%2E{args.a}', { a: '.' }],
    ['https://example.com/items/{args.a}', { a: '' }],
    ['https://example.com/items/{args.a}', {}],
    ['https://example.com/items/{args.a}', { a: null }],
    ['https://example.com/items/{args.constructor}', {}],
  ])('%s with %j is refused: it would name another resource', (url, args) => {
    expect(() => fill(url, args)).toThrow(expect.objectContaining({ code: 'INVALID_BODY' }))
  })

  test('dots in the query are only dots', () => {
    expect(fill('https://example.com/?q={args.q}', { q: '..' })).toBe('https://example.com/?q=..')
  })

  test('fillings are encoded, too, and never looked at again', () => {
    const url = fill(
      'https://example.com/{{config.project}}/{{ config.n }}?k={{credentials.token}}',
      { id: 'X' },
      { o: '{{credentials.odd}}' },
    )
    expect(url).toBe('https://example.com/a%2Fb/7?k=t%20k%26n&o=%7Bargs.id%7D')
  })

  test('query values follow what the URL has; one whose only argument is missing is left out', () => {
    const query = { a: '{args.a}', b: '{args.b}', 'c d': 'x-{args.b}', e: '{args.e}' }
    const url = fill('https://example.com/p?x=1?2', { a: 'a&b=c', e: null }, query)
    expect(url).toBe('https://example.com/p?x=1?2&a=a%26b%3Dc&c%20d=x-')
  })

  test('a URL that arguments make too long is refused', () => {
    expect(() => fill('https://example.com/{args.a}', { a: 'x'.repeat(2048) })).toThrow('2048')
  })
})

test('a header gets its fillings as they are', () => {
  expect(fillText('Bearer {{credentials.token}} {{config.n}}', FILLINGS)).toBe('Bearer t k&n 7')
})

test('what the integration has lost is named', () => {
  const config: HttpConfig = {
    method: 'GET',
    url: 'https://example.com/{{config.project}}',
    headers: { a: '{{credentials.gone}}' },
  }
  expect(missingFilling(config, FILLINGS)).toBe('credentials.gone')
  expect(missingFilling({ ...config, headers: {} }, FILLINGS)).toBeNull()
})
