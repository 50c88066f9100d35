import { expect, test } from 'vitest'
import { plainText } from './html.ts'

test.each([
  ['<at>Assistant</at> hi', 'hi'],
  ['<at id="0">My Assistant</at>&nbsp;hi', 'hi'],
  ['hi <at>Assistant</at> there', 'hi   there'],
  ['<p>one</p><p>two</p>', 'one\ntwo'],
  ['one<br>two<br/>three', 'one\ntwo\nthree'],
  ['<div>a</div>\n\n\n\n<div>b</div>', 'a\n\nb'],
  ['<ul><li>a</li><li><b>b</b></li></ul>', 'a\nb'],
  ['<a href="https://evil.test">https://bank.test</a>', 'https://bank.test'],
  ['<!-- x --><script>alert(1)</script>', 'alert(1)'],
  ['1 &lt; 2 &amp;&amp; 3 &gt; 2', '1 < 2 && 3 > 2'],
  ['&amp;lt;b&amp;gt;', '&lt;b&gt;'],
  ['&lt;at&gt;everyone&lt;/at&gt;', '<at>everyone</at>'],
  ['&#39;&#x1F600;&quot;&apos;', `'😀"'`],
  ['&#9999999;&#x110000;&nope;', '&#9999999;&#x110000;&nope;'],
  ['a < b, b <3 c', 'a < b, b <3 c'],
  ['if x:\r\n    y', 'if x:\n    y'],
])('%j is read as %j', (html, text) => {
  expect(plainText(html)).toBe(text)
})

test.each(['<', '<at>', '<at', '&', '&#', '</', '<!--'])(
  'a hundred thousand times %j is read at once',
  (part) => {
    const startedAt = performance.now()
    plainText(part.repeat(100_000))
    expect(performance.now() - startedAt).toBeLessThan(1000)
  },
)
