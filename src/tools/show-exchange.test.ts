import { describe, expect, test } from 'vitest'
import { makeRedact } from '../core/redact.ts'
import type { Exchange } from './call.ts'
import { showExchange } from './show-exchange.ts'

const ANSWER = {
  kind: 'answer' as const,
  statusCode: 200,
  headers: {},
  body: Buffer.from('{}'),
  isCut: false,
  encoding: null,
}
const EXCHANGE: Exchange = {
  method: 'POST',
  url: 'https://api.example.com/a?key=tok%20very%20secret&q=1',
  headers: ['X-Key', 'tok very secret', 'content-type', 'application/json'],
  body: '{"key":"tok very secret"}',
  answer: ANSWER,
  redact: makeRedact(['tok very secret']),
}
const show = (exchange: Partial<Exchange>, schema: Record<string, unknown> | null = null) =>
  showExchange({ ...EXCHANGE, ...exchange }, schema)
const answered = (body: string | Buffer, more: object = {}, schema = {}) =>
  show({ answer: { ...ANSWER, body: Buffer.from(body), ...more } }, schema).response
const sent = (...headers: string[]) => show({ headers }).request?.headers

test('where nothing was sent there is nothing to show', () => {
  expect(showExchange(null, null)).toEqual({ request: null, response: null })
})

test('a request without an answer is shown alone', () => {
  expect(show({ answer: null })).toMatchObject({ request: { method: 'POST' }, response: null })
})

describe('what is shown of a request', () => {
  test('has no credential in its URL, headers or body', () => {
    expect(show({}).request).toEqual({
      method: 'POST',
      url: 'https://api.example.com/a?key=[secret]&q=1',
      headers: { 'x-key': '[secret]', 'content-type': 'application/json' },
      body: '{"key":"[secret]"}',
    })
  })

  test('has signatures and tokens as what they are', () => {
    expect(
      sent(
        ...['X-AI-Chat-Context', 'eyJ.eyJ.x', 'X-AI-Chat-Signature', 'sha256=abc'],
        ...['webhook-id', 'r1', 'webhook-signature', 'v1,abc'],
      ),
    ).toEqual({
      'x-ai-chat-context': '[token]',
      'x-ai-chat-signature': '[signature]',
      'webhook-id': 'r1',
      'webhook-signature': '[signature]',
    })
  })

  test.each([
    ['Bearer tok', 'Bearer [secret]'],
    ['Basic dXNlcjp0b2sgdmVyeSBzZWNyZXQ=', 'Basic [secret]'],
    ['dXNlcjp0b2s=', '[secret]'],
  ])('has %j as %j, whatever the scheme makes of its credential', (given, shown) => {
    expect(sent('Authorization', given)).toEqual({ authorization: shown })
  })

  test('has no cookie, and what comes twice in one line', () => {
    expect(sent('Cookie', 'a=b', 'X-Tag', 'a', 'x-tag', 'b')).toEqual({
      cookie: '[secret]',
      'x-tag': 'a, b',
    })
  })

  test('may have a header by a name that every object has', () => {
    expect(sent('__proto__', 'x', 'constructor', 'y')).toEqual(
      JSON.parse('{"__proto__":"x","constructor":"y"}'),
    )
  })
})

describe('what is shown of an answer', () => {
  test('is as it came, without credentials, also where only the beginning of one is left', () => {
    expect(answered('{ "a" : "tok very secret" }')?.body).toBe('{ "a" : "[secret]" }')
    expect(answered('and so tok very se', { isCut: true })).toMatchObject({
      body: 'and so [secret]',
      bodyIsCut: true,
    })
  })

  test('has nothing that the schema of the result marks', () => {
    const schema = {
      type: 'object',
      properties: { pin: { type: 'string', 'x-secret': true }, city: { type: 'string' } },
    }
    expect(answered('{"pin":"12","city":"Bern"}', {}, schema)?.body).toBe(
      '{"pin":"[secret]","city":"Bern"}',
    )
    expect(answered('{"pin":"12","ci', { isCut: true }, schema)?.body).toBe('[secret]')
  })

  test('is 16 Ki characters at most, from its beginning and its end', () => {
    const shown = answered(`begin ${'x'.repeat(100_000)} end`)
    expect(shown?.body).toMatch(/^begin x+\n\[… 83,\d{3} characters left out …\]\nx+ end$/)
    expect(shown?.body?.length).toBeLessThanOrEqual(16_384)
    expect(shown?.bodyIsCut).toBe(true)
  })

  test('has its headers, but for the cookies it sets', () => {
    const headers = { 'set-cookie': ['a=1', 'b=2'], vary: ['a', 'b'], 'x-empty': undefined }
    expect(answered('', { headers })?.headers).toEqual({
      'set-cookie': '[secret], [secret]',
      vary: 'a, b',
      'x-empty': '',
    })
  })

  test('has no body where that is encoded', () => {
    expect(answered(Buffer.of(31, 139), { encoding: 'gzip' })?.body).toBeNull()
  })
})
