import { describe, expect, test } from 'vitest'
import type { EventRecord } from '../../core/event.ts'
import { renderEvent } from './blocks.ts'

const INTEGRATION = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c06'
const WEBHOOK = { integrationId: INTEGRATION, channel: null }

interface Shown {
  channel?: string
  thread_ts?: string
  text: string
  blocks: {
    type: string
    text?: string | { type: string; text: string; verbatim: boolean }
    elements?: { text: string; verbatim: boolean }[]
  }[]
  unfurl_links?: boolean
  unfurl_media?: boolean
}

function event(type: string, data: unknown): EventRecord {
  return {
    id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
    orgId: 'acme',
    type,
    conversationId: 'c-1',
    data: JSON.stringify(data),
    occurredAt: '2026-01-31T12:00:00.000Z',
  }
}

const turn = (user: string, assistant: string, more: object = {}) =>
  event('chat.turn.completed', { content: { user, assistant }, ...more })

function shown(record: EventRecord, place = WEBHOOK): Shown {
  return JSON.parse(renderEvent(record, place, null))
}

function textsOf({ blocks }: Shown): string[] {
  return blocks.flatMap((block) => {
    if (typeof block.text === 'string') return [block.text]
    return block.text ? [block.text.text] : (block.elements ?? []).map(({ text }) => text)
  })
}

function markdownOf(message: Shown): string {
  const [text] = message.blocks.flatMap((block) =>
    block.type === 'markdown' && typeof block.text === 'string' ? [block.text] : [],
  )
  return text ?? ''
}

function expectWithinLimits(message: Shown): void {
  expect(message.blocks.length).toBeLessThanOrEqual(50)
  expect(message.text.length).toBeGreaterThan(0)
  expect(message.text.length).toBeLessThanOrEqual(4000)
  expect(textsOf(message).join('').length).toBeLessThanOrEqual(12_000)
  for (const block of message.blocks) {
    const texts = textsOf({ ...message, blocks: [block] })
    for (const text of texts) {
      expect(text.length).toBeGreaterThan(0)
      expect(text.length).toBeLessThanOrEqual(block.type === 'markdown' ? 12_000 : 3000)
      expect(text.isWellFormed()).toBe(true)
    }
  }
}

describe('a turn', () => {
  test('is the question as a quote, and the answer as Markdown', () => {
    const message = shown(turn('What is\n1 < 2?', '**True**, of course.'))
    expect(message.blocks).toEqual([
      {
        type: 'section',
        text: { type: 'mrkdwn', text: '> What is\n> 1 &lt; 2?', verbatim: true },
      },
      { type: 'markdown', text: '**True**, of course.' },
    ])
    expect(message.text).toBe('**True**, of course.')
  })

  test('that was asked in this Slack is the answer alone', () => {
    const via = { via: { integrationId: INTEGRATION, user: { id: 'U1', name: null } } }
    expect(shown(turn('hi', 'hello', via)).blocks).toEqual([{ type: 'markdown', text: 'hello' }])
    const other = { via: { integrationId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c07' } }
    expect(shown(turn('hi', 'hello', other)).blocks).toHaveLength(2)
  })

  test('of 40,000 characters on both sides fits, and says how many are missing', () => {
    const message = shown(turn('u'.repeat(40_000), 'a'.repeat(40_000)))
    expectWithinLimits(message)
    const kept = markdownOf(message).length
    expect(kept).toBeGreaterThan(9000)
    const missing = (40_000 - kept).toLocaleString('en-US')
    expect(textsOf(message).at(-1)).toBe(
      `… The answer is cut here: ${missing} more characters are not shown.`,
    )
    expect(textsOf(message)[1]).toBe(
      '… The question is cut here: 38,002 more characters are not shown.',
    )
    expect(message.text.endsWith('…')).toBe(true)
  })

  test.each(['&', '<', '<!channel>', '\n', '👨‍👩‍👧‍👦', 'é', '\ud800', '[a](b)', '```\n', '\u0000'])(
    'of nothing but %j fits',
    (piece) => {
      expectWithinLimits(shown(turn(piece.repeat(40_000), piece.repeat(40_000))))
    },
  )

  test('ends before an emoji that has no room, not in it', () => {
    for (let before = 0; before < 12; before += 1) {
      const answer = markdownOf(shown(turn('', 'a'.repeat(before) + '👨‍👩‍👧‍👦'.repeat(2000))))
      expect(answer).toMatch(/^a*(?:👨‍👩‍👧‍👦)+$/u)
    }
  })

  test('full of mentions and links mentions nobody and links nowhere', () => {
    const evil =
      '<!channel> <@U1> <https://evil.example|bank.example> [bank.example](https://evil.example)'
    const body = renderEvent(turn(evil, evil), WEBHOOK, null)
    expect(body).not.toMatch(/<[!@]|<https|\]\(https[^"]*"\}/)
    const message = shown(turn(evil, evil))
    expect(message.blocks.every(({ text }) => typeof text !== 'object' || text.verbatim)).toBe(true)
    expect(markdownOf(message)).toContain('bank.example (https://evil.example)')
  })

  test('without an answer says so', () => {
    const message = shown(turn('hi', ' \n'))
    expectWithinLimits(message)
    expect(textsOf(message)).toEqual(['> hi', 'The assistant gave an empty answer.'])
  })

  test('whose content is kept back says in a line how to get it', () => {
    const message = shown(event('chat.turn.completed', { model: 'demo', toolRunIds: [] }))
    expect(message.blocks).toHaveLength(1)
    expect(textsOf(message)).toEqual([
      'The assistant answered in conversation c-1. To see here what was said, set content: "full" on this webhook.',
    ])
  })
})

describe('any other event', () => {
  test('has a title in words and its data as code', () => {
    const message = shown(event('webhook.subscription.disabled', { reason: 'a <b> & `c` ```d' }))
    expectWithinLimits(message)
    const [title, about, data = ''] = textsOf(message)
    expect(title).toBe('*A webhook was disabled*')
    expect(about).toBe('webhook.subscription.disabled in conversation c-1')
    expect(data).toContain('a &lt;b&gt; &amp; `c`')
    expect(data.slice(3, -3)).not.toContain('``')
    expect(message.text).toBe('A webhook was disabled')
  })

  test('of an org’s own type bears its name', () => {
    expect(textsOf(shown(event('order.created', {})))[0]).toBe('*order.created*')
  })

  test('with much data is cut, and says so', () => {
    const message = shown(event('order.created', { note: '<'.repeat(40_000) }))
    expectWithinLimits(message)
    expect(textsOf(message).at(-1)).toMatch(/^… This data is cut here: [\d,]+ more characters/)
  })

  test('whose data is not what its type says is shown all the same', () => {
    expect(textsOf(shown(event('chat.turn.completed', { content: 'odd' })))[0]).toBe(
      '*The assistant answered*',
    )
    expect(textsOf(shown(event('app.notice', { text: ' ' })))[0]).toBe('*A notice*')
  })
})

test('a notice is its text, escaped', () => {
  const message = shown(event('app.notice', { text: 'You may not <ask> here.' }))
  expect(textsOf(message)).toEqual(['You may not &lt;ask&gt; here.'])
  expectWithinLimits(shown(event('app.notice', { text: '&'.repeat(9000) })))
})

test('by bot token a message names its channel and thread, and no link of it is unfolded', () => {
  const place = { integrationId: INTEGRATION, channel: 'C0123ABC' }
  const record = turn('hi', 'hello')
  const inThread: Shown = JSON.parse(renderEvent(record, place, '1700000000.000100'))
  expect(inThread).toMatchObject({
    channel: 'C0123ABC',
    thread_ts: '1700000000.000100',
    unfurl_links: false,
    unfurl_media: false,
  })
  expect(JSON.parse(renderEvent(record, place, null))).not.toHaveProperty('thread_ts')
})

test('by webhook a message has its text and blocks alone', () => {
  expect(Object.keys(shown(turn('hi', 'hello')))).toEqual(['text', 'blocks'])
})
