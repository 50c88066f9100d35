import { describe, expect, test } from 'vitest'
import {
  isResponseUrl,
  isSlackSignature,
  readSlackCommand,
  readSlackInteraction,
} from './requests.ts'

// Published by Slack, with this secret and signature: "Verifying requests from Slack".
const SECRET = '8f742231b10e8888abcd99yyyzzz85a5'
const TIMESTAMP = 1531420618
const BODY =
  'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c'
const SIGNATURE = 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503'

describe('a signature', () => {
  const holds = (change: {
    secret?: string
    timestamp?: string
    signature?: string
    body?: string | Buffer
    nowS?: number
  }) =>
    isSlackSignature(
      change.secret ?? SECRET,
      {
        'x-slack-request-timestamp': change.timestamp ?? String(TIMESTAMP),
        'x-slack-signature': change.signature ?? SIGNATURE,
      },
      change.body ?? BODY,
      (change.nowS ?? TIMESTAMP) * 1000,
    )

  test('that Slack published holds', () => {
    expect(holds({})).toBe(true)
    expect(holds({ body: Buffer.from(BODY) })).toBe(true)
  })

  test('holds for 300 seconds, both ways', () => {
    expect([-301, -300, 300, 301].map((off) => holds({ nowS: TIMESTAMP + off }))).toEqual([
      false,
      true,
      true,
      false,
    ])
  })

  test.each([
    ['a byte of the body', { body: `${BODY}d` }],
    ['a byte of the signature', { signature: `${SIGNATURE.slice(0, -1)}4` }],
    ['its version', { signature: SIGNATURE.replace('v0=', 'v1=') }],
    ['its case', { signature: SIGNATURE.toUpperCase() }],
    ['its length', { signature: SIGNATURE.slice(0, -1) }],
    ['the timestamp', { timestamp: String(TIMESTAMP + 1) }],
    ['the spelling of the timestamp', { timestamp: `${TIMESTAMP}.0` }],
    ['the secret', { secret: SECRET.toUpperCase() }],
    ['an empty signature', { signature: '' }],
    ['an empty timestamp', { timestamp: '' }],
  ])('does not hold with another: %s', (_, change) => {
    expect(holds(change)).toBe(false)
  })

  test('is refused where the headers are missing, or there is no secret', () => {
    expect(isSlackSignature(SECRET, {}, BODY, TIMESTAMP * 1000)).toBe(false)
    expect(holds({ secret: '' })).toBe(false)
  })
})

describe('a slash command', () => {
  const form = (change: Record<string, string> = {}) =>
    new URLSearchParams({
      team_id: 'T1',
      channel_id: 'C1',
      user_id: 'U1',
      api_app_id: 'A1',
      command: '/ask',
      text: 'what is 1 + 1 & 2?',
      response_url: 'https://hooks.slack.com/commands/T1/2/3',
      trigger_id: '1.2.3',
      ...change,
    }).toString()

  test('is read', () => {
    expect(readSlackCommand(form())).toEqual({
      kind: 'command',
      teamId: 'T1',
      enterpriseId: null,
      appId: 'A1',
      channel: 'C1',
      userId: 'U1',
      command: '/ask',
      text: 'what is 1 + 1 & 2?',
      responseUrl: 'https://hooks.slack.com/commands/T1/2/3',
      triggerId: '1.2.3',
    })
  })

  test('may be a try of the certificate', () => {
    expect(readSlackCommand('ssl_check=1&token=x')).toEqual({ kind: 'sslCheck' })
  })

  test.each(['', '{"command":"/ask"}', form({ user_id: '' }), form({ response_url: 'x' })])(
    '%j is none',
    (body) => {
      expect(readSlackCommand(body).kind).toBe('invalid')
    },
  )
})

describe('a click', () => {
  const CLICK = {
    type: 'block_actions',
    team: { id: 'T1', domain: 'acme' },
    enterprise: null,
    api_app_id: 'A1',
    user: { id: 'U1', username: 'ann', team_id: 'T1' },
    actions: [{ action_id: 'approve', value: 'run-1', type: 'button', block_id: 'b' }],
    response_url: 'https://hooks.slack.com/actions/T1/2/3',
    channel: { id: 'C1', name: 'general' },
    message: {
      ts: '1.1',
      thread_ts: '1.0',
      text: 'x',
      blocks: [{ type: 'actions', block_id: 'b', elements: [] }],
    },
    container: { type: 'message', message_ts: '1.1', channel_id: 'C1' },
    trigger_id: '1.2.3',
  }
  const form = (payload: unknown) =>
    new URLSearchParams({ payload: JSON.stringify(payload) }).toString()

  test('is read', () => {
    expect(readSlackInteraction(form(CLICK))).toEqual({
      kind: 'action',
      teamId: 'T1',
      enterpriseId: null,
      appId: 'A1',
      userId: 'U1',
      userTeamId: 'T1',
      actionId: 'approve',
      value: 'run-1',
      responseUrl: 'https://hooks.slack.com/actions/T1/2/3',
      channel: 'C1',
      messageTs: '1.1',
      thread: '1.0',
      blocks: [{ type: 'actions', block_id: 'b', elements: [] }],
      triggerId: '1.2.3',
    })
  })

  test('on a message for one person alone is read without that message', () => {
    const { message: _, ...click } = CLICK
    const container = { type: 'message', message_ts: '1.1', channel_id: 'C1', thread_ts: '1.0' }
    expect(readSlackInteraction(form({ ...click, container }))).toMatchObject({
      messageTs: '1.1',
      thread: '1.0',
      blocks: null,
    })
  })

  test('on something else is nothing to do', () => {
    expect(readSlackInteraction(form({ type: 'view_submission' })).kind).toBe('ignored')
  })

  test.each([
    ['', 'is no interaction'],
    ['payload=%7B', 'is no interaction'],
    [form({ ...CLICK, actions: [] }), 'is no click on a button: actions'],
    [form({ ...CLICK, user: {} }), 'is no click on a button: user.id is not valid'],
    [
      form({ ...CLICK, message: { ts: '1', blocks: Array(51).fill({ type: 'divider' }) } }),
      'is no click on a button: message.blocks is not valid',
    ],
  ])('%j is none', (body, reason) => {
    expect(readSlackInteraction(body)).toEqual({
      kind: 'invalid',
      reason: expect.stringContaining(reason),
    })
  })
})

test('an answer goes to Slack alone, wherever the request says', () => {
  const hosts = ['hooks.slack.com']
  expect(isResponseUrl('https://hooks.slack.com/commands/1', hosts)).toBe(true)
  expect(isResponseUrl('https://hooks.slack.com.evil.example/commands/1', hosts)).toBe(false)
  expect(isResponseUrl('https://hooks.slack.com@evil.example/', hosts)).toBe(false)
  expect(isResponseUrl('no url', hosts)).toBe(false)
})
