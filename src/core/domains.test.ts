import { describe, expect, test } from 'vitest'
import { domainsSchema, hasDomain } from './domains.ts'

describe('a list of domains', () => {
  test('is kept in lower case, each once', () => {
    expect(domainsSchema.parse(['Example.com', 'example.com', '*.Hooks.example.com'])).toEqual([
      'example.com',
      '*.hooks.example.com',
    ])
    expect(domainsSchema.parse([])).toEqual([])
    expect(
      domainsSchema.parse(['xn--bcher-kva.example', 'billing', 'a_b.example.com']),
    ).toHaveLength(3)
  })

  test.each([
    '',
    '*',
    '*.',
    '.example.com',
    'example.com.',
    'a..example.com',
    'a.*.example.com',
    '**.example.com',
    '*example.com',
    'https://example.com',
    'example.com:443',
    'example.com/x',
    'user@example.com',
    'exa mple.com',
    'bücher.example',
    '127.0.0.1',
    '*.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.1',
    'example.0x7f',
    'example.1',
    '[::1]',
    '::1',
    '-a.example.com',
    `${'a'.repeat(64)}.example.com`,
    `${'a.'.repeat(127)}com`,
  ])('%j is none of it', (domain) => {
    expect(domainsSchema.safeParse([domain]).success).toBe(false)
  })

  test('has at most 200', () => {
    const many = Array.from({ length: 201 }, (_, n) => `h${n}.example.com`)
    expect(domainsSchema.safeParse(many).success).toBe(false)
    expect(domainsSchema.safeParse(many.slice(1)).success).toBe(true)
  })
})

test.each([
  ['example.com', 'example.com', true],
  ['example.com', 'a.example.com', false],
  ['example.com', 'notexample.com', false],
  ['*.example.com', 'a.example.com', true],
  ['*.example.com', 'a.b.example.com', true],
  ['*.example.com', 'example.com', false],
  ['*.example.com', 'notexample.com', false],
  ['*.example.com', 'a.example.com.evil.net', false],
  ['example.com', '1.1.1.1', false],
])('%s names %s: %s', (domain, host, isNamed) => {
  expect(hasDomain([domain], host)).toBe(isNamed)
})

test('an empty list names nothing', () => {
  expect(hasDomain([], 'example.com')).toBe(false)
})
