import { describe, expect, test } from 'vitest'
import { literal, literalLines, printable, safeMarkdown } from './markdown.ts'

describe('what a model wrote', () => {
  test.each([
    '**bold** and _italic_',
    '- one\n- two',
    '1. one\n2. two',
    '[our docs](https://docs.example.com/a?x=1&y=2)',
    '[example.com](https://example.com/)',
    '[www.example.com](https://example.com/a)',
    '[example.com](https://docs.example.com/)',
    '[a page](https://en.wikipedia.org/wiki/Acme_(company))',
    'a & b > c, AT&T',
  ])('%j stays', (text) => {
    expect(safeMarkdown(text)).toBe(text)
  })

  test.each([
    ['[bank.com](https://evil.test/)', 'bank.com (https://evil.test/)'],
    ['[https://bank.com/login](https://evil.test)', 'https://bank.com/login (https://evil.test)'],
    ['[bank.com](https://bank.com.evil.test)', 'bank.com (https://bank.com.evil.test)'],
    ['[**bank**.com](https://evil.test)', '**bank**.com (https://evil.test)'],
    ['[bank\u200b.com](https://evil.test)', 'bank\u200b.com (https://evil.test)'],
    ['[bank．com](https://evil.test)', 'bank．com (https://evil.test)'],
    ['[http://localhost](https://evil.test)', 'http://localhost (https://evil.test)'],
    ['[evil.test or bank.com](https://evil.test)', 'evil.test or bank.com (https://evil.test)'],
    ['![bank.com](https://evil.test/a.png)', 'bank.com (https://evil.test/a.png)'],
    ['[click](javascript:alert)', 'click (javascript:alert)'],
    ['[](https://evil.test)', 'https://evil.test'],
  ])('%s shows where it goes', (text, shown) => {
    expect(safeMarkdown(text)).toBe(shown)
  })

  test('an image is a link: a card would fetch it for everybody who looks', () => {
    expect(safeMarkdown('![chart](https://example.com/a.png)')).toBe(
      '[chart](https://example.com/a.png)',
    )
  })

  test.each([
    ['[a [bank.com] b](https://evil.test)', '[a [bank.com] b]\\(https://evil.test)'],
    ['[bank\\.com](https://evil.test)', '[bank\\.com]\\(https://evil.test)'],
    ['[bank.com](<https://evil.test>)', '[bank.com]\\(&lt;https://evil.test>)'],
    ['[bank.com](https://evil.test "x")', '[bank.com]\\(https://evil.test "x")'],
    ['[bank.com\nx](https://evil.test)', '[bank.com\n\nx]\\(https://evil.test)'],
    ['[bank.com][1]\n\n[1]: https://evil.test', '[bank.com][1]\n\n[1]\\: https://evil.test'],
    ['> [1]: https://evil.test', '> [1]\\: https://evil.test'],
  ])('%j, a link in another spelling, is no link', (text, shown) => {
    expect(safeMarkdown(text)).toBe(shown)
  })

  test.each([
    ['<at>everyone</at>', '&lt;at>everyone&lt;/at>'],
    ['<img src=x onerror=alert(1)>', '&lt;img src=x onerror=alert(1)>'],
    ['&lt;b&gt; &#60;', '&amp;lt;b&amp;gt; &amp;#60;'],
    ['<https://evil.test>', '&lt;https://evil.test>'],
  ])('%j is text', (text, shown) => {
    expect(safeMarkdown(text)).toBe(shown)
  })

  test('lines stay lines, and the items of a list stay together', () => {
    expect(safeMarkdown('one\ntwo\n- a\n- b\n  more\nend')).toBe(
      'one\n\ntwo\n- a\n- b\n  more\n\nend',
    )
  })

  test.each(['[', '](', '[a](', '[a](b(', '![', 'a.', '<', '&', '[a]: ', '\n'])(
    'a hundred thousand times %j is read at once',
    (part) => {
      const startedAt = performance.now()
      safeMarkdown(part.repeat(100_000))
      safeMarkdown(`[${part.replace(/[[\]]/g, '').repeat(100_000)}](https://example.com)`)
      literal(part.repeat(100_000))
      expect(performance.now() - startedAt).toBeLessThan(1500)
    },
  )
})

describe('a text that is no Markdown', () => {
  test.each([
    ['**not bold**', '\\*\\*not bold\\*\\*'],
    ['_not italic_ but snake_case', '\\_not italic\\_ but snake_case'],
    ['[x](https://evil.test)', '[x]\\(https://evil.test)'],
    ['`code`', '\\`code\\`'],
    ['C:\\Users\\*', 'C:\\Users\\\\\\*'],
    ['# no heading', '\\# no heading'],
    ['- no item', '\\- no item'],
    ['1. no item', '1\\. no item'],
    ['<b> &amp;', '&lt;b> &amp;amp;'],
    ['order.created, 2026-01-31, -5, 1.5', 'order.created, 2026-01-31, -5, 1.5'],
  ])('%j is shown as it is', (text, escaped) => {
    expect(literal(text)).toBe(escaped)
  })

  test('lines keep their indentation and the empty ones their place', () => {
    expect(literalLines('if x:\n\ty\n\n  z')).toBe(
      'if x:\n\n\u00a0\u00a0\u00a0\u00a0y\n\n\u00a0\n\n\u00a0\u00a0z',
    )
  })
})

test('control characters and halves of a pair are replaced', () => {
  expect(printable('a\0b\u001bc\ud800d\r\ne\tf')).toBe('a\ufffdb\ufffdc\ufffdd\ne\tf')
})
