import { expect, test } from 'vitest'
import { renderingOf } from './rendering.ts'

const inSection = (text: string) => ({
  blocks: [{ type: 'section', text: { type: 'mrkdwn', text } }],
})
const inMarkdown = (text: string) => ({ blocks: [{ type: 'markdown', text }] })

test.each([
  ['<!channel>', '!channel'],
  ['<!here|here>', '!here'],
  ['<@U0ABC>', '@U0ABC'],
  ['<!subteam^S0ABC|@team>', '!subteam^S0ABC'],
])('%s pings, wherever it stands', (text, ping) => {
  expect(renderingOf({ text }).pings).toEqual([ping])
  expect(renderingOf(inSection(text)).pings).toEqual([ping])
  expect(renderingOf(inMarkdown(text)).pings).toEqual([ping])
})

test('what is escaped pings nobody, and people read it as it was meant', () => {
  const escaped = 'a &lt;!channel&gt; &amp; &lt;@U0ABC&gt;'
  expect(renderingOf(inSection(escaped))).toEqual({
    pings: [],
    links: [],
    shown: 'a <!channel> & <@U0ABC>',
    buttons: [],
  })
})

test('plain text pings nobody', () => {
  const blocks = [{ type: 'header', text: { type: 'plain_text', text: '<!channel>' } }]
  expect(renderingOf({ blocks })).toMatchObject({ pings: [], shown: '<!channel>' })
})

test('names ping where the message asks for it', () => {
  expect(renderingOf({ text: 'hey @channel' }).pings).toEqual([])
  expect(renderingOf({ text: 'hey @channel', link_names: true }).pings).toEqual(['!channel'])
})

test('rich text calls people by its elements', () => {
  const elements = [
    { type: 'broadcast', range: 'here' },
    { type: 'user', user_id: 'U0ABC' },
    { type: 'link', url: 'https://evil.example', text: 'bank' },
  ]
  const blocks = [{ type: 'rich_text', elements: [{ type: 'rich_text_section', elements }] }]
  const { pings, links } = renderingOf({ blocks })
  expect(pings).toEqual(['!here', '@U0ABC'])
  expect(links).toEqual([{ url: 'https://evil.example', label: 'bank' }])
})

test('a link shows its label, an address that stands for itself is none', () => {
  const { links, shown } = renderingOf({ text: '<https://evil.example|bank> <https://a.example>' })
  expect(links).toEqual([{ url: 'https://evil.example', label: 'bank' }])
  expect(shown).toBe('bank https://a.example')
})

test('markdown has links of its own', () => {
  const text = '[bank](https://evil.example) \\[not\\](https://b.example) <https://c.example>'
  expect(renderingOf(inMarkdown(text)).links).toEqual([
    { url: 'https://evil.example', label: 'bank' },
  ])
  expect(renderingOf(inSection(text)).links).toEqual([])
})

test('the text beside blocks is not shown, and pings all the same', () => {
  const message = { text: '<!channel>', ...inSection('hello') }
  expect(renderingOf(message)).toMatchObject({ pings: ['!channel'], shown: 'hello' })
})

test('a time is read in words, and what only looks like one is not', () => {
  const text = 'at <!date^1769864400^{time}|13:00 UTC>, <!date^x^{time}|12:00>'
  expect(renderingOf({ text })).toMatchObject({ pings: [], shown: 'at 13:00 UTC, @12:00' })
})

test('a button is seen with its label, and what it asks', () => {
  const text = (words: string) => ({ type: 'plain_text', text: words })
  const button = { type: 'button', action_id: 'go', value: '1', text: text('Go') }
  const confirm = { title: text('Sure?'), text: text('It runs.') }
  const blocks = [{ type: 'actions', elements: [button, { ...button, confirm }] }]
  expect(renderingOf({ blocks }).buttons).toEqual([
    { actionId: 'go', label: 'Go', value: '1', asks: null },
    { actionId: 'go', label: 'Go', value: '1', asks: 'Sure?\nIt runs.' },
  ])
})
