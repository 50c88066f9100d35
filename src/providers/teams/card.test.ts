import { describe, expect, test } from 'vitest'
import type { EventRecord } from '../../core/event.ts'
import { EVENT_TYPES } from '../../core/event-types.ts'
import { cardBody } from './card.ts'

const OURS = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c06'
const MAX_BYTES = 24 * 1024

function event(data: object, more: Partial<EventRecord> = {}): EventRecord {
  return {
    id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
    orgId: 'acme',
    type: 'chat.turn.completed',
    conversationId: 'c-1',
    data: JSON.stringify(data),
    occurredAt: '2026-01-31T12:00:00.000Z',
    ...more,
  }
}
const turn = (user: string, assistant: string, more: object = {}) =>
  event({ content: { user, assistant }, ...more })

interface Block {
  type: string
  text: string
  wrap: boolean
  [style: string]: unknown
}
const blocksOf = (record: EventRecord): Block[] =>
  JSON.parse(cardBody(record, OURS)).attachments[0].content.body
const textsOf = (record: EventRecord) => blocksOf(record).map(({ text }) => text)

test('a message is the envelope with one adaptive card of version 1.4, over the full width', () => {
  expect(JSON.parse(cardBody(turn('q', 'a'), OURS))).toEqual({
    type: 'message',
    attachments: [
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        contentUrl: null,
        content: {
          $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
          type: 'AdaptiveCard',
          version: '1.4',
          msteams: { width: 'Full' },
          body: [
            { type: 'TextBlock', text: 'The assistant answered', wrap: true, weight: 'Bolder' },
            { type: 'TextBlock', text: 'Conversation c-1', wrap: true, isSubtle: true },
            { type: 'TextBlock', text: '“q”', wrap: true, isSubtle: true },
            { type: 'TextBlock', text: 'a', wrap: true },
          ],
        },
      },
    ],
  })
})

describe('a turn', () => {
  test('that was asked through this integration says who asked', () => {
    const via = { integrationId: OURS, user: { id: 'u', name: 'Ada *L*' } }
    expect(textsOf(turn('q', 'a', { via }))).toEqual(['Answer to Ada \\*L\\*', '“q”', 'a'])
  })

  test('that somebody without a name asked is an answer all the same', () => {
    const via = { integrationId: OURS, user: { id: 'u', name: null } }
    expect(textsOf(turn('q', 'a', { via }))[0]).toBe('Answer to a question from Teams')
  })

  test('that was asked through another integration does not', () => {
    const via = { integrationId: 'another', user: { id: 'u', name: 'Ada' } }
    expect(textsOf(turn('q', 'a', { via }))[0]).toBe('The assistant answered')
  })

  test('with a sender that makes no sense is shown all the same', () => {
    expect(textsOf(turn('q', 'a', { via: 'Ada' })).at(-1)).toBe('a')
  })

  test('without its content is one line that says how to get it', () => {
    expect(textsOf(event({ model: 'demo' }, { conversationId: null }))).toEqual([
      'The assistant answered. To have the text here, set content to "full" for this webhook.',
    ])
  })

  test('has a block for each paragraph, headings in bold, code in monospace', () => {
    const answer = '# Plan\nfirst\n\n- a\n- b\n```ts\nif (x) {\n  [y](z)\n}\n```\nlast'
    expect(blocksOf(turn('', answer)).slice(2)).toEqual([
      { type: 'TextBlock', text: 'Plan', wrap: true, weight: 'Bolder' },
      { type: 'TextBlock', text: 'first', wrap: true },
      { type: 'TextBlock', text: '- a\n- b', wrap: true },
      {
        type: 'TextBlock',
        text: 'if (x) {\n\n\u00a0\u00a0[y]\\(z)\n\n}',
        wrap: true,
        fontType: 'Monospace',
      },
      { type: 'TextBlock', text: 'last', wrap: true },
    ])
  })

  test('pings nobody and hides no link, whoever wrote it', () => {
    const text = '<at>everyone</at> [https://bank.com](https://evil.test) <b>x</b>'
    const body = cardBody(turn(text, text), OURS)
    expect(body).not.toContain('<')
    expect(body).not.toContain('](')
    expect(body).not.toContain('entities')
  })
})

describe('other events', () => {
  test('have a title in words and their data in monospace, as it was emitted', () => {
    const data =
      '{"webhookId":"w","reason":"The receiver\\nanswered *410*","big":12345678901234567890}'
    const blocks = blocksOf(event({}, { type: 'webhook.subscription.disabled', data }))
    expect(blocks).toMatchObject([
      { text: 'A webhook was disabled', weight: 'Bolder' },
      { text: 'Conversation c-1' },
      {
        text: 'webhookId: w\n\nreason: The receiver\n\nanswered \\*410\\*\n\nbig: 12345678901234567890',
        fontType: 'Monospace',
      },
    ])
  })

  test('of a type of the org’s own have it as their title', () => {
    expect(textsOf(event({}, { type: 'order_.created', conversationId: null }))).toEqual([
      'order\\_.created',
    ])
  })

  test('named like a member of every object are nothing special', () => {
    expect(textsOf(event({ a: 1 }, { type: 'constructor' }))[0]).toBe('constructor')
  })

  test.each(EVENT_TYPES.map(({ type, example }) => [type, example] as const))(
    '%s of the catalogue has a title that is no type',
    (type, example) => {
      expect(textsOf(event(example, { type }))[0]).not.toContain(type)
    },
  )

  test('a notice is its text', () => {
    expect(textsOf(event({ text: 'The model is away.' }, { type: 'app.notice' }))).toEqual([
      'The model is away.',
    ])
  })

  test('a long list of data is cut, with how long it was', () => {
    const [, , data, mark] = textsOf(event({ a: 'x'.repeat(9997) }, { type: 'order.created' }))
    expect(data).toBe(`a: ${'x'.repeat(2997)}`)
    expect(mark).toBe('… (cut: 10000 characters in all)')
  })
})

describe('Teams’ limit', () => {
  test.each([
    ['plain letters', 'x', 40_000],
    ['quotes, which JSON escapes', '"', 40_000],
    ['backslashes before stars, escaped twice', '\\*', 20_000],
    ['control characters', '\u0001', 40_000],
    ['halves of a pair', '\ud800', 40_000],
    ['angle brackets', '<', 40_000],
    ['four bytes each', '😀', 20_000],
    ['families of eleven units', '👨‍👩‍👧‍👦', 4000],
    ['paragraphs', 'x\n\n', 20_000],
    ['lines of code', '```\n\ta\n```\n', 4000],
    ['links', '[a](https://example.com)', 4000],
    ['links that are shown', '[bank.com](https://evil.test)', 4000],
    ['the longest event', 'é', 130_000],
  ])('holds for an answer of %s, which says how long it was', (_, part, times) => {
    const answer = part.repeat(times)
    const question = part.repeat(Math.ceil(3000 / part.length))
    const body = cardBody(turn(question, answer), OURS)
    const bytes = Buffer.byteLength(body)
    expect(bytes).toBeLessThanOrEqual(MAX_BYTES)
    // What is cut is cut because it has to be.
    expect(bytes).toBeGreaterThan(MAX_BYTES * 0.98)
    expect(body).toContain(`… (cut: ${[...answer].length} characters in all)`)
    expect(body.toWellFormed()).toBe(body)
    expect(() => JSON.parse(body)).not.toThrow()
  })

  test('cuts no emoji in half', () => {
    const [, , asked, answered, mark] = textsOf(
      turn('👨‍👩‍👧‍👦'.repeat(1000), '👨‍👩‍👧‍👦'.repeat(4000)),
    )
    expect(asked).toMatch(/^“(?:👨‍👩‍👧‍👦)+… \(cut: 7000 characters in all\)”$/u)
    expect(answered).toMatch(/^(?:👨‍👩‍👧‍👦)+$/u)
    expect(mark).toBe('… (cut: 28000 characters in all)')
  })

  test('leaves an answer that fits as it is', () => {
    const answer = 'x'.repeat(23_000)
    expect(textsOf(turn('q', answer)).at(-1)).toBe(answer)
  })

  test('holds for data that grows most, in its title too', () => {
    const record = event(
      { a: '\t\n'.repeat(20_000) },
      { type: `a_.${'b_.'.repeat(41)}c`, conversationId: '\u0001'.repeat(256) },
    )
    expect(Buffer.byteLength(cardBody(record, OURS))).toBeLessThanOrEqual(MAX_BYTES)
  })
})

test('the same event gives the same bytes', () => {
  const record = turn('q', '*'.repeat(40_000))
  expect(cardBody(record, OURS)).toBe(cardBody(record, OURS))
})
