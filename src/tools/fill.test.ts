import { describe, expect, test } from 'vitest'
import { fillRequest, fillText, fillUrl, missingFilling, secretsOf } from './fill.ts'
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

describe(fillRequest, () => {
  const request = (config: Partial<HttpConfig>, args: Record<string, unknown>) =>
    fillRequest(
      { method: 'POST', url: 'https://example.com/x', ...config },
      { credentials: { login: 'ann:pass word' }, config: {} },
      { orgId: 'acme', userId: 'ann', conversationId: null, args },
      'boundary',
    )

  test('puts each argument where its parameter says, and the rest into the body', () => {
    const config: Partial<HttpConfig> = {
      url: 'https://example.com/pets/{args.id}/x',
      query: { v: '{args.version}' },
      headers: { Cookie: 'a=b' },
      parameters: [
        { arg: 'id', in: 'path', name: 'petId' },
        { arg: 'filter', in: 'query', name: 'filter', style: 'deepObject' },
        { arg: 'trace', in: 'header', name: 'X-Trace' },
        { arg: 'lang', in: 'cookie', name: 'lang' },
      ],
      payload: { mediaType: 'application/json' },
    }
    const args = {
      id: ['a', 'b/c'],
      filter: { s: 'x' },
      trace: 7,
      lang: 'd;e',
      name: 'Rex',
      version: 2,
    }
    expect(request(config, args)).toEqual({
      url: 'https://example.com/pets/a,b%2Fc/x?v=2&filter%5Bs%5D=x',
      headers: [
        ['X-Trace', '7'],
        ['Cookie', 'a=b; lang=d%3Be'],
      ],
      body: '{"name":"Rex"}',
      contentType: 'application/json',
    })
  })

  test('has one argument as its body, where the tool says which', () => {
    const payload = { mediaType: 'application/json', arg: 'body' }
    expect(request({ payload }, { body: [1, 2], other: 1 }).body).toBe('[1,2]')
    expect(request({ payload }, { body: null }).body).toBe('null')
    expect(request({ payload }, {})).toMatchObject({ body: null, contentType: null })
  })

  test('sends an empty object for a body that is required, and nothing for one that is not', () => {
    const payload = { mediaType: 'application/json' }
    expect(request({ payload }, {}).body).toBe('{}')
    expect(request({ payload: { ...payload, isOptional: true } }, {}).body).toBeNull()
  })

  test.each([
    [['..'], 'simple'],
    ['.', 'label'],
    [[], 'simple'],
    [[null], 'matrix'],
    ['', 'label'],
  ] as const)('refuses %j in the path, style %s: it would name another resource', (id, style) => {
    const parameters = [{ arg: 'id', in: 'path', name: 'id', style }] as const
    const config = { url: 'https://example.com/a/{args.id}/b', parameters: [...parameters] }
    expect(() => request(config, { id })).toThrow(
      expect.objectContaining({
        code: 'INVALID_BODY',
        details: [expect.objectContaining({ path: 'args.id' })],
      }),
    )
  })

  test.each(['a\r\nHost: evil', 'ü', ' padded '])('refuses %j as a header', (trace) => {
    const parameters = [{ arg: 'trace', in: 'header' as const, name: 'X-Trace' }]
    expect(() => request({ parameters }, { trace })).toThrow(
      expect.objectContaining({ details: [expect.objectContaining({ path: 'args.trace' })] }),
    )
  })

  test('encodes a login as Basic authentication wants it, and knows each of its forms as a secret', () => {
    const headers = { Authorization: 'Basic {{credentials.login|base64}}' }
    const encoded = Buffer.from('ann:pass word').toString('base64')
    expect(request({ headers }, {}).headers).toEqual([['Authorization', `Basic ${encoded}`]])
    const config: HttpConfig = { method: 'GET', url: 'https://example.com/', headers }
    expect(secretsOf({ credentials: { login: 'ann:pass word' } }, config)).toEqual([
      'ann:pass word',
      encoded,
      'pass word',
    ])
  })
})
