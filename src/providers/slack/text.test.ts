import { describe, expect, test } from 'vitest'
import { escapeText, fitText, tameMarkdown, toPlain } from './text.ts'

test('text for Slack has its three special characters escaped, and no others', () => {
  expect(escapeText('<!channel> & *b* "q"')).toBe('&lt;!channel&gt; &amp; *b* "q"')
})

describe('what people write in Slack', () => {
  test.each([
    ['<@UBOT> what is up?', 'what is up?'],
    ['hey <@UBOT|ask> what is up?', 'hey what is up?'],
    ['<@U1|ann> and <@U2>', '@ann and @U2'],
    ['see <#C1|general> and <#C2|> and <#C3>', 'see #general and #C2 and #C3'],
    ['<!here> <!channel|@channel> <!everyone>', '@here @channel @everyone'],
    ['<!subteam^S1|@devs>: <!date^1392734382^{date}|18 Feb>', '@devs: 18 Feb'],
    ['<https://x.example/?a=1&amp;b=2|the page>', 'the page (https://x.example/?a=1&b=2)'],
    ['<https://x.example> <http://x.example|x.example>', 'https://x.example x.example'],
    ['<mailto:a@x.example|a@x.example>', 'a@x.example'],
    ['1 &lt; 2 &amp;&amp; 3 &gt; 2, &amp;lt; stays', '1 < 2 && 3 > 2, &lt; stays'],
    ['<@UBOT>', ''],
  ])('%j reads %j', (written, plain) => {
    expect(toPlain(written, 'UBOT')).toBe(plain)
  })

  test('a mention of a bot that is not known stays', () => {
    expect(toPlain('<@UBOT> hi', null)).toBe('@UBOT hi')
  })
})

describe('what models write', () => {
  test.each([
    '# Title\n\n**bold** _it_ `code` > quote\n> quote\n\n| a | b |\n|---|---|\n| 1 | 2 |',
    'a < b && c > d, Map<string, number>, Promise<string|null>, <div class="x">',
    '[the docs](https://docs.example/a_(b)?c=1#d "Title") and https://x.example',
    '[docs.example](https://www.docs.example/) and [docs.example/a](https://docs.example/a)',
    '[write us](mailto:a@x.example)',
    '<https://x.example>',
  ])('%j stays as it is', (markdown) => {
    expect(tameMarkdown(markdown)).toBe(markdown)
  })

  test.each([
    ['<!channel> <!here|here>', '&lt;!channel&gt; &lt;!here|here&gt;'],
    ['<@U1> <#C1|x> <!subteam^S1>', '&lt;@U1&gt; &lt;#C1|x&gt; &lt;!subteam^S1&gt;'],
    ['<https://evil.example|your bank>', '&lt;https://evil.example|your bank&gt;'],
    ['<https://evil.example|your\nbank>', '&lt;https://evil.example|your\nbank&gt;'],
    ['<!chan', '&lt;!chan'],
  ])('%j pings nobody and links nowhere: %j', (markdown, tame) => {
    expect(tameMarkdown(markdown)).toBe(tame)
  })

  test.each([
    '[https://bank.example](https://evil.example)',
    '[bank.example](https://evil.example)',
    '[**bank.example**](https://evil.example)',
    '[`bank.example`](https://evil.example)',
    '[bank\u200b.example](https://evil.example)',
    '[bank．example](https://evil.example)',
    '[bank&#46;example](https://evil.example)',
    '[bank.example](https://bank.example@evil.example)',
    '[https://bank.example@evil.example](https://evil.example)',
    '[bank.example](https://notbank.example)',
    '[10.0.0.1](https://evil.example)',
    '[https://bank](https://evil.example)',
    '![bank.example](https://evil.example/pixel.png)',
    '![a picture](https://evil.example/pixel.png)',
  ])('%j becomes label and address, both as text', (markdown) => {
    const tame = tameMarkdown(markdown)
    expect(tame).not.toContain('](')
    expect(tame).not.toMatch(/[[\]]/)
    const label = markdown.slice(markdown.indexOf('[') + 1, markdown.indexOf(']'))
    const target = markdown.slice(markdown.indexOf('(') + 1, -1)
    expect(tame).toBe(`${label} (${target})`)
  })

  test.each([
    '[a [https://bank.example] b](https://evil.example)',
    '[https://bank.example\\]](https://evil.example)',
    '[https://bank\n.example](https://evil.example)',
    '[https://bank.example](<https://evil.example>)',
    '[https://bank.example](\nhttps://evil.example)',
    '[https://bank.example](//evil.example)',
    '[https://bank.example](slack://open)',
    '[https://bank.example]![(https://evil.example)](https://x.example)',
    '[https://bank.example][1]\n\n[1]: https://evil.example',
    '[https://bank.example]\n\n[https://bank.example]: <https://evil.example>',
    '> [https://bank.example]:\n> //evil.example',
  ])('%j is no link any more', (markdown) => {
    const tame = tameMarkdown(markdown)
    expect(tame).not.toContain('](')
    expect(tame).not.toContain(']:')
    expect(tame.replaceAll(' ', '').length).toBeGreaterThanOrEqual(
      markdown.replaceAll(' ', '').length - 5,
    )
  })

  test('a link without words to click shows its address', () => {
    expect(tameMarkdown('[](https://x.example) [ ](https://x.example)')).toBe(
      'https://x.example https://x.example',
    )
  })

  test('code that looks like a link reads the same', () => {
    expect(tameMarkdown('handlers[i](event)')).toBe('handlers[i] (event)')
  })

  test.each([
    '[',
    '](',
    '[](x ',
    '![a](https://x.example',
    '<a:',
    '<!',
    ']:\n',
    '[a](b(',
    '((((',
    ' ',
  ])('a long text of %j is tamed in no time', (piece) => {
    const text = `[](${piece.repeat(50_000)}`
    const startedAt = performance.now()
    expect(tameMarkdown(text).length).toBeGreaterThanOrEqual(text.length - 10)
    expect(performance.now() - startedAt).toBeLessThan(1000)
  })

  test.each(['a', 'a-', '1', 'a.'])('a long label of %j is read in no time', (piece) => {
    const link = `[${piece.repeat(50_000)}](https://x.example)`
    const startedAt = performance.now()
    expect(tameMarkdown(link)).toContain('https://x.example')
    expect(performance.now() - startedAt).toBeLessThan(1000)
  })
})

describe('a text that has to fit', () => {
  const plain = (text: string) => text

  test('stays whole where there is room', () => {
    expect(fitText('abc', 3, plain)).toEqual({ text: 'abc', missing: 0 })
  })

  test('uses all the room, and counts what is missing', () => {
    expect(fitText('abcdef', 4, plain)).toEqual({ text: 'abcd', missing: 2 })
  })

  test('is measured as it is written', () => {
    const { text, missing } = fitText('&'.repeat(100), 52, escapeText)
    expect(text).toBe('&amp;'.repeat(10))
    expect(missing).toBe(90)
  })

  test('loses an emoji whole, whatever the limit', () => {
    const family = '👨‍👩‍👧‍👦'
    const text = family.repeat(20)
    for (let limit = family.length; limit < 60; limit += 1) {
      const fitted = fitText(text, limit, plain)
      expect(fitted.text).toBe(family.repeat(Math.floor(limit / family.length)))
      expect(fitted.missing).toBe([...text].length - [...fitted.text].length)
    }
  })

  test('has no half characters, even where they were in it before', () => {
    expect(fitText('a\ud800b', 10, plain).text).toBe('a\ufffdb')
  })

  test('fits when a link was cut in its middle', () => {
    const text = 'x[a](https://x.example) '.repeat(40)
    for (let limit = 1; limit < 200; limit += 1) {
      expect(fitText(text, limit, tameMarkdown).text.length).toBeLessThanOrEqual(limit)
    }
  })
})
