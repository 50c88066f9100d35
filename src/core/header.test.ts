import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { headerProblem, headersProblem, isSensitiveHeader } from './header.ts'

describe(headerProblem, () => {
  test.each([
    ['Authorization', 'Bearer x'],
    ['X-Api-Key', 'x'],
    ['Accept', 'application/json'],
    ['X-Empty', ''],
    ['X-Tab', 'a\tb'],
    ['Cookie', 'a=b'],
  ])('%s: %j may be set', (name, value) => {
    expect(headerProblem(name, value)).toBeNull()
  })

  test.each(['', 'a b', 'a:b', 'ä', 'a\r\nb', 'a\u0000', '(a)', 'x'.repeat(257)])(
    '%j is no header name',
    (name) => {
      expect(headerProblem(name, 'x')).toMatch(/not a header name/)
    },
  )

  test.each([
    'Host',
    'content-LENGTH',
    'Transfer-Encoding',
    'Connection',
    'TE',
    'Trailer',
    'Upgrade',
    'Expect',
    'Content-Type',
    'User-Agent',
    'Webhook-Signature',
    'webhook-id',
    'X-AI-Chat-Signature',
    'X-Forwarded-For',
    'X-Forwarded',
    'Forwarded',
    'X-Real-IP',
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-HTTP-Method-Override',
    'Metadata-Flavor',
    'Metadata',
    'X-aws-ec2-metadata-token',
    'X-Google-Metadata-Request',
    'CF-Connecting-IP',
    'Proxy-Authorization',
    'Idempotency-Key',
    'traceparent',
    'Sec-Fetch-Mode',
    'Cache-Control',
    'X-GFE-Request-Trace',
    'X-FD-HealthProbe',
    'X-Svix-Id',
  ])('%s belongs to us or to the network', (name) => {
    expect(headerProblem(name, 'x')).toMatch(/cannot be set here/)
  })

  test.each(['a\r\nb: c', 'a\nb', 'a\u0000b', 'ä', ' a', 'a ', '\u007f'])(
    'the value %j is refused',
    (value) => {
      expect(headerProblem('X-A', value)).toMatch(/not allowed in a header/)
    },
  )

  test('the password of a metadata service is no value', () => {
    expect(headerProblem('Authorization', 'Bearer Oracle')).toMatch(/no other server/)
    expect(headerProblem('Authorization', 'Bearer Oracle-1')).toBeNull()
  })

  test('a value of over 4096 characters is refused', () => {
    expect(headerProblem('X-A', 'x'.repeat(4096))).toBeNull()
    expect(headerProblem('X-A', 'x'.repeat(4097))).toMatch(/4096/)
  })
})

describe(headersProblem, () => {
  test('names the header that is wrong', () => {
    expect(headersProblem({ 'X-A': 'a', Host: 'b' })).toMatchObject({ name: 'Host' })
  })

  test('one name in two spellings is given twice', () => {
    expect(headersProblem({ 'X-A': '1', 'x-a': '2' })).toEqual({
      name: 'x-a',
      message: 'is given twice',
    })
  })

  test('there are at most 32, and 12800 bytes in all', () => {
    const many = (count: number, value: string) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`X-${n}`, value]))
    expect(headersProblem(many(32, 'x'))).toBeNull()
    expect(headersProblem(many(33, 'x'))).toMatchObject({ name: '' })
    expect(headersProblem(many(3, 'x'.repeat(4096)))).toBeNull()
    expect(headersProblem(many(4, 'x'.repeat(4000)))).toMatchObject({ name: '' })
  })
})

test.each([
  ['Authorization', true],
  ['Cookie', true],
  ['X-API-KEY', true],
  ['X-Auth-Token', true],
  ['X-Team', false],
])('%s is a credential: %s', (name, isSensitive) => {
  expect(isSensitiveHeader(name)).toBe(isSensitive)
})

describe('the corpus of headers', () => {
  interface Case {
    readonly name: string
    readonly value: string | null
    readonly expect: 'allow' | 'reject'
    readonly why: string
    readonly headers?: readonly (readonly [string, string])[]
  }
  const file = join(import.meta.dirname, '../../test/corpus/headers.json')
  const cases: Case[] = JSON.parse(readFileSync(file, 'utf8'))
  const isRefused = ({ name, value, headers = [[name, value ?? '']] }: Case) =>
    headersProblem(Object.fromEntries(headers)) !== null

  test.each(cases)('$expect: $why', (given) => {
    expect(isRefused(given)).toBe(given.expect === 'reject')
  })

  test('is all of it', () => {
    const refused = cases.filter(isRefused).length
    expect({ tried: cases.length, refused }).toEqual({ tried: 48, refused: 41 })
  })
})

test.each(['X_Forwarded_For', 'webhook_signature', 'Content_Length', 'X_AI_Chat_Signature'])(
  'an underscore does not make %s another header',
  (name) => {
    expect(headerProblem(name, '1')).not.toBeNull()
  },
)
