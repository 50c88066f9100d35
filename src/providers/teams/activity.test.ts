import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { readActivity } from './activity.ts'

const NOW = Date.parse('2026-01-31T12:00:00.000Z')
const KEY = Buffer.alloc(32, 7)
const TOKEN = KEY.toString('base64')
const CONVERSATION = '19:253b1f341670408fb6fe51050b6e5ceb@thread.tacv2;messageid=1485983194839'

const ACTIVITY = {
  type: 'message',
  id: '1485983408511',
  timestamp: '2026-01-31T11:59:59.0366453Z',
  text: '<at>Assistant</at> how much is <b>this</b>?\n',
  from: {
    id: '29:1abc',
    name: 'Ada Lovelace',
    aadObjectId: '4f1b1d2e-0000-4000-8000-5f6a7b8c9d01',
  },
  conversation: { isGroup: true, id: CONVERSATION },
}

function sign(rawBody: string, key: Buffer | string = KEY): string {
  return `HMAC ${createHmac('sha256', key).update(rawBody).digest('base64')}`
}

interface Circumstances {
  readonly authorization?: string
  readonly token?: string
  readonly nowMs?: number
}

function read(body: unknown, { authorization, token = TOKEN, nowMs = NOW }: Circumstances = {}) {
  const rawBody = typeof body === 'string' ? body : JSON.stringify(body)
  return readActivity(
    { headers: { authorization: authorization ?? sign(rawBody) }, rawBody, nowMs },
    { credentials: token === '' ? {} : { outgoingWebhookToken: token }, signingSecrets: [] },
  )
}
const saidIn = (more: object) => {
  const inbound = read({ ...ACTIVITY, ...more })
  if (inbound.kind !== 'said') throw new Error(JSON.stringify(inbound))
  return inbound.said
}

test('a mention is what somebody asked, in the thread where it was said', () => {
  expect(read(ACTIVITY)).toEqual({
    kind: 'said',
    said: {
      key: 'activity:1485983408511',
      text: 'how much is this?',
      user: { id: '4f1b1d2e-0000-4000-8000-5f6a7b8c9d01', name: 'Ada Lovelace' },
      where: {
        channel: '19:253b1f341670408fb6fe51050b6e5ceb@thread.tacv2',
        thread: CONVERSATION,
      },
      isAsking: true,
    },
  })
})

test('a person without an id of the tenant and without a name is known by the id that Teams gives', () => {
  expect(saidIn({ from: { id: '29:1abc' } }).user).toEqual({ id: '29:1abc', name: null })
})

test('a conversation that is no thread is its own channel', () => {
  expect(saidIn({ conversation: { id: 'a:1' } }).where).toEqual({ channel: 'a:1', thread: 'a:1' })
})

test('forty thousand characters arrive whole', () => {
  expect(saidIn({ text: `<at>A</at> ${'😀'.repeat(20_000)}` }).text).toBe('😀'.repeat(20_000))
})

describe('the signature', () => {
  const raw = JSON.stringify(ACTIVITY)

  test.each([
    ['is missing', ''],
    ['is of another scheme', sign(raw).replace('HMAC', 'Bearer')],
    [
      'is off by a byte',
      sign(raw).replace(/^HMAC ./, (found) => `HMAC ${found.endsWith('A') ? 'B' : 'A'}`),
    ],
    ['is over another body', sign(`${raw} `)],
    ['is made with the token as text', sign(raw, TOKEN)],
    ['is made with another token', sign(raw, Buffer.alloc(32, 8))],
    ['is in hex', `HMAC ${createHmac('sha256', KEY).update(raw).digest('hex')}`],
  ])('that %s is refused', (_, authorization) => {
    expect(read(raw, { authorization })).toMatchObject({ kind: 'refused' })
  })

  test('is over the bytes as they came', () => {
    const spaced = JSON.stringify(ACTIVITY, null, 2)
    expect(read(spaced).kind).toBe('said')
    expect(read(spaced, { authorization: sign(raw) }).kind).toBe('refused')
  })

  test('cannot hold without a stored token, and the reason says so', () => {
    expect(read(raw, { token: '' })).toEqual({
      kind: 'refused',
      reason: expect.stringContaining('no security token of an outgoing webhook is stored'),
    })
  })

  test('cannot hold under a token that decodes to little, whoever signs with it', () => {
    const authorization = sign(raw, Buffer.from('AAAA', 'base64'))
    expect(read(raw, { token: 'AAAA', authorization }).kind).toBe('refused')
  })

  test('is looked at before anything else', () => {
    expect(read('garbage', { authorization: 'HMAC x' }).kind).toBe('refused')
  })
})

test.each([
  ['16 minutes old', 16, 'refused'],
  ['14 minutes old', 14, 'said'],
  ['14 minutes ahead', -14, 'said'],
  ['16 minutes ahead', -16, 'refused'],
])('an activity that is %s', (_, minutes, kind) => {
  const nowMs = Date.parse(ACTIVITY.timestamp) + minutes * 60_000
  expect(read(ACTIVITY, { nowMs }).kind).toBe(kind)
})

test.each(['conversationUpdate', 'messageReaction', 'invoke'])(
  'a %s is acknowledged and no more, whatever else it has',
  (type) => {
    expect(read({ type })).toMatchObject({ kind: 'ignored' })
  },
)

test.each(['<at>Assistant</at>', '<at>Assistant</at>&nbsp;\n<p> </p>', '', undefined])(
  'a mention without words is ignored (%j)',
  (text) => {
    expect(read({ ...ACTIVITY, text })).toMatchObject({
      kind: 'ignored',
      reason: expect.stringContaining('no text'),
    })
  },
)

test.each([
  ['no JSON', 'hello', 'body'],
  ['half of it', '{"type":"mess', 'body'],
  ['an array', '[]', 'body'],
  ['no type', {}, 'type'],
  ['no id', { ...ACTIVITY, id: undefined }, 'id'],
  ['an id that is too long', { ...ACTIVITY, id: '1'.repeat(241) }, 'id'],
  ['an id with U+0000', { ...ACTIVITY, id: '1\0' }, 'id'],
  ['no time', { ...ACTIVITY, timestamp: undefined }, 'timestamp'],
  ['a time that is none', { ...ACTIVITY, timestamp: 'yesterday' }, 'timestamp'],
  ['nobody', { ...ACTIVITY, from: {} }, 'from.id'],
  ['no conversation', { ...ACTIVITY, conversation: null }, 'conversation'],
  ['a text that is none', { ...ACTIVITY, text: 7 }, 'text'],
])('a signed body with %s is invalid, and says where', (_, body, path) => {
  expect(read(body)).toMatchObject({ kind: 'invalid', details: [{ path }] })
})

test('names and texts that the database cannot hold are made so that it can', () => {
  const said = saidIn({ text: 'a\0b\ud800', from: { id: 'x', name: `\0${'n'.repeat(300)}` } })
  expect(said.text).toBe('a\ufffdb\ufffd')
  expect(said.user.name).toMatch(/^\ufffdn{254}…$/)
})
