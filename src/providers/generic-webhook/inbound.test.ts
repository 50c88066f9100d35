import { createHmac } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { makeSign, newSigningSecret } from '../../security/signature.ts'
import { readInbound } from './inbound.ts'

const SECRET = newSigningSecret()
const OLD_SECRET = newSigningSecret()
const ID = 'msg_1'
const NOW_S = 1_795_446_246
const MESSAGE = { conversationId: 'c-1', content: 'Grüße, 漢字 🎉' }
const BODY = JSON.stringify(MESSAGE)

interface Asked {
  readonly body?: string
  readonly id?: string
  readonly timestampS?: number
  readonly secrets?: readonly string[]
}

function standard({ body = BODY, id = ID, timestampS = NOW_S, secrets = [SECRET] }: Asked = {}) {
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampS),
    'webhook-signature': makeSign(secrets)(id, timestampS, body).standard,
  }
}

function plain(body = BODY, secret = SECRET) {
  return { 'x-ai-chat-signature': createHmac('sha256', secret).update(body).digest('hex') }
}

function read(
  headers: Readonly<Record<string, string | undefined>>,
  rawBody = BODY,
  signingSecrets: readonly string[] = [SECRET],
) {
  return readInbound({ headers, rawBody, nowMs: NOW_S * 1000 }, { credentials: {}, signingSecrets })
}

/** Signed as it should be, whatever it is. */
function readSigned(value: unknown) {
  const body = typeof value === 'string' ? value : JSON.stringify(value)
  return read(standard({ body }), body)
}

describe('a message', () => {
  test('is what was said, in the conversation, by nobody in particular, and asks for nothing', () => {
    expect(read(standard())).toEqual({
      kind: 'said',
      said: {
        key: 'webhook:msg_1',
        text: 'Grüße, 漢字 🎉',
        user: { id: 'anonymous', name: null },
        where: { conversationId: 'c-1' },
        isAsking: false,
      },
    })
  })

  test.each([
    [
      { id: 'u-1', name: 'Ann' },
      { id: 'u-1', name: 'Ann' },
    ],
    [
      { id: 'u-1', name: '' },
      { id: 'u-1', name: null },
    ],
    [{ id: 'u-1' }, { id: 'u-1', name: null }],
  ])('of the user %j is by %j', (externalUser, user) => {
    expect(readSigned({ ...MESSAGE, externalUser })).toMatchObject({ said: { user } })
  })

  test.each([
    [true, true],
    [false, false],
  ])('with reply: %s asks: %s', (reply, isAsking) => {
    expect(readSigned({ ...MESSAGE, reply })).toMatchObject({ said: { isAsking } })
  })

  test.each([
    ['conversationId', { content: 'x' }],
    ['conversationId', { ...MESSAGE, conversationId: '' }],
    ['conversationId', { ...MESSAGE, conversationId: 'x'.repeat(257) }],
    ['conversationId', { ...MESSAGE, conversationId: 'a\u0000' }],
    ['conversationId', { ...MESSAGE, conversationId: 'a\ud800' }],
    ['content', { conversationId: 'c-1' }],
    ['content', { ...MESSAGE, content: '' }],
    ['content', { ...MESSAGE, content: 7 }],
    ['content', { ...MESSAGE, content: 'x'.repeat(32_001) }],
    ['content', { ...MESSAGE, content: 'a\u0000b' }],
    ['externalUser', { ...MESSAGE, externalUser: 'Ann' }],
    ['externalUser', { ...MESSAGE, externalUser: { id: 'u', email: 'a@example.com' } }],
    ['externalUser.id', { ...MESSAGE, externalUser: {} }],
    ['externalUser.id', { ...MESSAGE, externalUser: { id: '' } }],
    ['externalUser.id', { ...MESSAGE, externalUser: { id: 'u\u0000' } }],
    ['externalUser.name', { ...MESSAGE, externalUser: { id: 'u', name: 'x'.repeat(257) } }],
    ['externalUser.name', { ...MESSAGE, externalUser: { id: 'u', name: '\u0000' } }],
    ['reply', { ...MESSAGE, reply: 'yes' }],
    ['body', { ...MESSAGE, reply: true, role: 'assistant' }],
    ['body', []],
    ['body', null],
    ['body', 'not JSON'],
    ['body', ''],
    ['body', '{"conversationId":"c-1","content":"x"'],
    ['body', `\ufeff${BODY}`],
  ])('whose %s is wrong is refused by that name: %#', (path, value) => {
    expect(readSigned(value)).toEqual({
      kind: 'invalid',
      details: [{ path, message: expect.stringMatching(/\w/) }],
    })
  })

  test('of the longest text that is taken is taken whole', () => {
    const content = '\u0001'.repeat(32_000)
    expect(readSigned({ ...MESSAGE, content })).toMatchObject({ said: { text: content } })
  })

  test('with everything wrong is told so once, and shortly', () => {
    const names = Array.from({ length: 5000 }, (_, i) => [`member${i}`, 1])
    const inbound = readSigned(Object.fromEntries(names))
    expect(JSON.stringify(inbound).length).toBeLessThan(2000)
    expect(inbound).toMatchObject({
      kind: 'invalid',
      details: [{ path: 'conversationId' }, { path: 'content' }, { path: 'body' }],
    })
  })
})

describe('Standard Webhooks', () => {
  test('what the stock library signs is taken', () => {
    const signature = new Webhook(SECRET).sign(ID, new Date(NOW_S * 1000), BODY)
    expect(read({ ...standard(), 'webhook-signature': signature })).toMatchObject({ kind: 'said' })
  })

  test('while a secret is rotated either is taken, and after that the new one only', () => {
    const both = [SECRET, OLD_SECRET]
    expect(read(standard({ secrets: [OLD_SECRET] }), BODY, both).kind).toBe('said')
    expect(read(standard({ secrets: [SECRET] }), BODY, both).kind).toBe('said')
    expect(read(standard({ secrets: [OLD_SECRET, SECRET] }), BODY, [SECRET]).kind).toBe('said')
    expect(read(standard({ secrets: [OLD_SECRET] }), BODY, [SECRET])).toEqual({
      kind: 'refused',
      reason: 'webhook-signature does not fit',
    })
  })

  test.each([-300, 300])('a time %i s off is taken', (offS) => {
    expect(read(standard({ timestampS: NOW_S + offS })).kind).toBe('said')
  })

  test.each([-301, 301, -86_400, 86_400])('a time %i s off is refused, though signed', (offS) => {
    expect(read(standard({ timestampS: NOW_S + offS }))).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('five minutes'),
    })
  })

  test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])(
    'without %s it is refused by that name',
    (name) => {
      expect(read({ ...standard(), [name]: undefined })).toEqual({
        kind: 'refused',
        reason: `${name} is missing`,
      })
    },
  )

  test('a byte off is refused: in the body, the id, the time and the signature', () => {
    const good = standard()
    const refused = { kind: 'refused', reason: 'webhook-signature does not fit' }
    const other = good['webhook-signature'].replace(/.(?==$)/, (sign) => (sign === 'A' ? 'B' : 'A'))
    expect(read(good, `${BODY} `)).toEqual(refused)
    expect(read(good, BODY.replace('c-1', 'c-2'))).toEqual(refused)
    expect(read({ ...good, 'webhook-id': 'msg_2' })).toEqual(refused)
    expect(read({ ...good, 'webhook-timestamp': String(NOW_S + 1) })).toEqual(refused)
    expect(read({ ...good, 'webhook-signature': other })).toEqual(refused)
  })

  test('a signature that does not fit is not mended by a simple one that does', () => {
    const forged = { ...standard({ secrets: [OLD_SECRET] }), ...plain() }
    expect(read(forged).kind).toBe('refused')
    expect(read({ ...forged, 'webhook-signature': '' }).kind).toBe('refused')
  })

  test('the same id again has the same key, whatever the time of the try', () => {
    const again = standard({ timestampS: NOW_S - 60 })
    expect(read(again)).toEqual(read(standard()))
  })

  test.each(['a b', 'ä', 'x'.repeat(201), 'tab\there'])(
    'an id that is %j is refused by name, even signed',
    (id) => {
      expect(read(standard({ id }))).toMatchObject({
        kind: 'invalid',
        details: [{ path: 'webhook-id' }],
      })
    },
  )

  test('the longest id makes a key of 256 characters at most', () => {
    const inbound = read(standard({ id: '~'.repeat(200) }))
    expect(inbound).toMatchObject({ said: { key: expect.stringMatching(/^webhook:~{200}$/) } })
  })

  test('an integration without a secret takes nothing', () => {
    expect(read(standard(), BODY, [])).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('no inbound secret'),
    })
  })
})

describe('X-AI-Chat-Signature', () => {
  test('is enough where there is no webhook-signature; the id is the key', () => {
    expect(read({ ...plain(), 'webhook-id': ID })).toEqual(read(standard()))
  })

  test('without an id the same body has the same key, and another body another', () => {
    const key = (body: string) => {
      const inbound = read(plain(body), body)
      return inbound.kind === 'said' ? inbound.said.key : null
    }
    expect(key(BODY)).toMatch(/^body:[0-9a-f]{64}$/)
    expect(key(BODY)).toBe(key(BODY))
    expect(key(BODY)).not.toBe(key(JSON.stringify({ ...MESSAGE, content: 'other' })))
  })

  test('of any secret that is valid is taken', () => {
    expect(read(plain(BODY, OLD_SECRET), BODY, [SECRET, OLD_SECRET]).kind).toBe('said')
    expect(read(plain(BODY, OLD_SECRET), BODY, [SECRET])).toEqual({
      kind: 'refused',
      reason: 'X-AI-Chat-Signature does not fit',
    })
  })

  test('a byte off is refused', () => {
    expect(read(plain(), `${BODY}\n`).kind).toBe('refused')
    const [first = '', ...rest] = plain()['x-ai-chat-signature']
    const other = (first === '0' ? '1' : '0') + rest.join('')
    expect(read({ 'x-ai-chat-signature': other }).kind).toBe('refused')
  })

  test('an id that is empty is refused by name', () => {
    expect(read({ ...plain(), 'webhook-id': '' })).toMatchObject({
      kind: 'invalid',
      details: [{ path: 'webhook-id' }],
    })
  })
})
