import { describe, expect, test } from 'vitest'
import { assertHttpConfig, type HttpConfig, httpConfigSchema } from './http-config.ts'

const KNOWN = { credentials: ['token'], config: ['project'] }
const judge = (url: string) => (URL.canParse(url) ? null : 'is not a URL')

function check(config: Partial<HttpConfig>) {
  const whole: HttpConfig = { method: 'POST', url: 'https://api.example.com/x', ...config }
  return () => assertHttpConfig(whole, KNOWN, judge)
}

describe(assertHttpConfig, () => {
  test.each<[string, Partial<HttpConfig>]>([
    [
      'placeholders in path, query and headers',
      {
        url: 'https://api.example.com/{{config.project}}/{args.id}?k={{ credentials.token }}&q={args.q}',
        query: { page: '{args.page}', filter: '{"a":1}' },
        headers: { authorization: 'Bearer {{credentials.token}}' },
      },
    ],
    ['a plain URL', {}],
    ['a login to be encoded', { headers: { a: 'Basic {{credentials.token|base64}}' } }],
    [
      'arguments with their places',
      {
        url: 'https://api.example.com/{args.id}',
        parameters: [
          { arg: 'id', in: 'path', name: 'id' },
          { arg: 'q', in: 'query', name: '$q' },
        ],
        payload: { mediaType: 'application/json', arg: 'body' },
      },
    ],
  ])('%s may stand', (_, config) => expect(check(config)).not.toThrow())

  test.each<[string, Partial<HttpConfig>, string]>([
    ['a credential as host', { url: 'https://{{credentials.token}}/x' }, 'url'],
    ['config as whole origin', { url: '{{config.project}}/x' }, 'url'],
    ['an argument in the host', { url: 'https://{args.h}.example.com/' }, 'url'],
    ['an argument as port', { url: 'https://example.com:{args.p}/' }, 'url'],
    ['an argument as scheme', { url: '{args.s}://example.com/' }, 'url'],
    ['an argument before an @', { url: 'https://{args.u}@example.com/' }, 'url'],
    ['a URL that the judge refuses', { url: 'https://[/' }, 'url'],
    ['a fragment', { url: 'https://example.com/#{args.x}' }, 'url'],
    ['a placeholder of unknown kind', { url: 'https://example.com/{{secrets.x}}' }, 'url'],
    ['a placeholder without its kind', { url: 'https://example.com/{id}' }, 'url'],
    ['a credential that is not there', { url: 'https://a.example.com/{{credentials.no}}' }, 'url'],
    ['such a one in a header', { headers: { a: '{{credentials.no}}' } }, 'headers.a'],
    ['config that is not there', { query: { a: '{{config.no}}' } }, 'query.a'],
    ['a placeholder as query name', { query: { '{{config.project}}': 'x' } }, 'query'],
    ['an argument in a header', { headers: { a: '{args.x}' } }, 'headers.a'],
    ['an unknown placeholder in a header', { headers: { a: '{{x}}' } }, 'headers.a'],
    ['a header that is ours', { headers: { Host: 'x' } }, 'headers.Host'],
    ['our idempotency key', { headers: { 'Idempotency-Key': 'x' } }, 'headers.Idempotency-Key'],
    ['an unknown filter', { headers: { a: '{{credentials.token|hex}}' } }, 'headers.a'],
    [
      'a path parameter without its place',
      { parameters: [{ arg: 'id', in: 'path', name: 'id' }] },
      'parameters.0',
    ],
    [
      'an argument that goes to two places',
      {
        parameters: [
          { arg: 'a', in: 'query', name: 'a' },
          { arg: 'a', in: 'header', name: 'a' },
        ],
      },
      'parameters.1',
    ],
    [
      'a parameter that is a header of ours',
      { parameters: [{ arg: 'a', in: 'header', name: 'Host' }] },
      'parameters.0',
    ],
    [
      'a parameter that is a header of the tool',
      { headers: { 'X-A': 'b' }, parameters: [{ arg: 'a', in: 'header', name: 'x-a' }] },
      'parameters.0',
    ],
    [
      'a cookie that is two',
      { parameters: [{ arg: 'a', in: 'cookie', name: 'a=b; c' }] },
      'parameters.0',
    ],
    ['two bodies', { body: 'args', payload: { mediaType: 'text/plain' } }, 'payload'],
    ['a line break in a header', { headers: { a: 'x\r\nb: c' } }, 'headers.a'],
  ])('%s is refused with its field', (_, config, path) => {
    expect(check(config)).toThrow(
      expect.objectContaining({
        code: 'INVALID_BODY',
        details: [expect.objectContaining({ path: `httpConfig.${path}` })],
      }),
    )
  })
})

test.each([
  { method: 'HEAD', url: 'https://example.com/' },
  { method: 'GET', url: 'https://example.com/', timeoutMs: 99 },
  { method: 'GET', url: 'https://example.com/', timeoutMs: 30_001 },
  { method: 'GET', url: 'https://example.com/', body: 'form' },
  { method: 'GET', url: 'https://example.com/', followRedirects: true },
  { method: 'GET' },
])('%j is no configuration', (config) => {
  expect(httpConfigSchema.safeParse(config).success).toBe(false)
})
