import { describe, expect, test } from 'vitest'
import { judgeAnswer, toSnippet } from './answer.ts'

const NOW_MS = Date.parse('2026-01-31T12:00:00Z')
const judge = (statusCode: number, retryAfter?: string) =>
  judgeAnswer({ statusCode, retryAfter, snippet: 'text' }, NOW_MS)

describe(judgeAnswer, () => {
  test.each([200, 201, 202, 204, 299])('%i is a delivery', (statusCode) => {
    expect(judge(statusCode)).toEqual({ kind: 'delivered', statusCode, snippet: 'text' })
  })

  test.each([300, 301, 302, 307, 308])('%i is a failure: redirects are not followed', (status) => {
    expect(judge(status)).toMatchObject({
      kind: 'failed',
      error: expect.stringContaining('redirect'),
    })
  })

  test.each([400, 401, 404, 409, 422, 500, 502, 503, 504])('%i is a failure', (statusCode) => {
    expect(judge(statusCode)).toEqual({
      kind: 'failed',
      statusCode,
      snippet: 'text',
      error: `HTTP ${statusCode}`,
    })
  })

  test('410 is goodbye', () => {
    expect(judge(410, '60')).toMatchObject({ kind: 'gone', statusCode: 410 })
  })

  test.each([
    [429, undefined, null],
    [429, '60', 60_000],
    [429, 'Sat, 31 Jan 2026 12:00:30 GMT', 30_000],
    [429, 'whenever', null],
    [503, '60', 60_000],
  ])('%i with Retry-After %s asks for less', (statusCode, header, retryAfterMs) => {
    expect(judge(statusCode, header)).toMatchObject({ kind: 'throttled', retryAfterMs })
  })
})

describe(toSnippet, () => {
  test('keeps lines and takes out what a table cannot hold', () => {
    expect(toSnippet('a\r\n\tb\u0000\u001bc', false)).toBe('a\r\n\tb\ufffd\ufffdc')
  })

  test('is cut at 1024 characters with a mark, never within a character', () => {
    expect(toSnippet('x'.repeat(1024), false)).toBe('x'.repeat(1024))
    expect(toSnippet('x'.repeat(1025), false)).toBe(`${'x'.repeat(1023)}…`)
    expect(toSnippet('short', true)).toBe('short…')
    expect(toSnippet(`${'x'.repeat(1022)}😀😀`, false).isWellFormed()).toBe(true)
  })
})
