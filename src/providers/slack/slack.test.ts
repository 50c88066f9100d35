import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { CallApp } from '../../core/provider.ts'
import { makeSlack } from './slack.ts'

const slack = makeSlack({
  apiUrl: 'https://slack.com/api/',
  webhookHosts: ['hooks.slack.com', 'hooks.slack-gov.com'],
})
const WEBHOOK = 'https://hooks.slack.com/services/T0/B0/x'
const CHANNEL = 'https://slack.com/api/chat.postMessage?channel=C0123ABC'
const problem = (url: string) => slack.urlProblem(new URL(url))

describe('a URL', () => {
  test.each([
    WEBHOOK,
    'https://hooks.slack-gov.com/services/T0/B0/x',
    'https://hooks.slack.com:8443/services/T0/B0/x',
    CHANNEL,
    'https://slack.com/api/chat.postMessage?channel=G01',
    'https://slack.com/api/chat.postMessage?channel=D01',
  ])('%s is Slack’s', (url) => {
    expect(problem(url)).toBeNull()
  })

  test.each([
    ['https://hooks.slack.com.evil.example/services/T/B/x', 'must be an incoming webhook'],
    ['https://hooks.slack.com/', 'must be an incoming webhook'],
    ['https://hooks.slack.com/services/', 'must be an incoming webhook'],
    ['https://hooks.slack.com/triggers/T0/1/x', 'takes no messages'],
    ['https://hooks.slack.com/workflows/T0/1/x', 'takes no messages'],
    ['https://acme.slack.com/archives/C0123ABC', 'a link to a place in Slack'],
    ['https://app.slack.com/client/T0/C0123ABC', 'a link to a place in Slack'],
    ['https://slack.com/api/chat.update?channel=C0123ABC', 'must be an incoming webhook'],
    ['https://slack.com:444/api/chat.postMessage?channel=C01', 'must be an incoming webhook'],
    ['http://slack.com/api/chat.postMessage?channel=C01', 'must be an incoming webhook'],
    ['https://slack.com/api/chat.postMessage', 'one parameter, channel='],
    ['https://slack.com/api/chat.postMessage?chanel=C01', 'one parameter, channel='],
    ['https://slack.com/api/chat.postMessage?channel=C01&channel=C02', 'one parameter, channel='],
    ['https://slack.com/api/chat.postMessage?channel=C01&text=x', 'one parameter, channel='],
    ['https://slack.com/api/chat.postMessage?channel=%23general', 'not its name'],
    ['https://slack.com/api/chat.postMessage?channel=#general', 'not its name'],
    ['https://slack.com/api/chat.postMessage?channel=general', 'not its name'],
    ['https://slack.com/api/chat.postMessage?channel=General', 'not its name'],
    ['https://slack.com/api/chat.postMessage?channel=U0123ABC', 'not its name'],
    ['https://slack.com/api/chat.postMessage?channel=', 'not its name'],
  ])('%s is refused: %s', (url, words) => {
    expect(problem(url)).toContain(words)
  })

  test('of a webhook is shown masked; of a channel it is no secret', () => {
    expect(slack.maskUrl(new URL(WEBHOOK))).toBe('https://hooks.slack.com/services/…')
    expect(slack.maskUrl(new URL(CHANNEL))).toBeNull()
    expect(slack.maskUrl(new URL('https://slack.com/api/chat.postMessage?token=xoxb-1'))).toBe(
      'https://slack.com/…',
    )
  })

  test('of a channel needs the bot token, and of a webhook none', () => {
    expect(slack.needsCredentials(CHANNEL)).toBe(true)
    expect(slack.needsCredentials(WEBHOOK)).toBe(false)
    expect(slack.needsCredentials('no url')).toBe(false)
  })

  test('is judged by its host alone where the installation has a Slack of its own', () => {
    const local = makeSlack({ apiUrl: 'http://127.0.0.1:4000/api/', webhookHosts: ['127.0.0.1'] })
    expect(local.urlProblem(new URL('http://127.0.0.1:4000/services/T/B/x'))).toBeNull()
    expect(
      local.urlProblem(new URL('http://127.0.0.1:4000/api/chat.postMessage?channel=C1')),
    ).toBeNull()
    expect(local.urlProblem(new URL(CHANNEL))).toContain('http://127.0.0.1:4000/api/')
  })
})

describe('credentials', () => {
  test.each([
    {},
    { botToken: 'xoxb-1-2-abc' },
    { botToken: 'xoxe.xoxb-1-abc', refreshToken: 'xoxe-1-abc' },
    { signingSecret: '8f742231b10e8888abcd99yyyzzz85a5', botUserId: 'U0123ABC' },
  ])('%j are taken', (credentials) => {
    expect(slack.credentials.parse(credentials)).toEqual(credentials)
  })

  test.each([
    [{ botToken: 'xoxp-1-2' }, 'is the token of a user; the bot token is wanted, xoxb-…'],
    [{ botToken: 'xoxe.xoxp-1-2' }, 'is the token of a user'],
    [{ botToken: 'xapp-1-2' }, 'is a token of the app'],
    [{ botToken: 'xoxe-1-2' }, 'is a refresh token; the bot token is wanted'],
    [{ botToken: 'hunter2' }, 'is no Slack token'],
    [{ botToken: 'xoxb-1\r\nx: y' }, 'is no Slack token'],
    [{ botToken: 'xoxb-ü' }, 'is no Slack token'],
    [{ refreshToken: 'xoxe.xoxb-1-2' }, 'those begin with xoxe-'],
    [{ signingSecret: 'xoxb-1-2-abcdefghijk' }, 'is no signing secret'],
    [{ signingSecret: 'short' }, 'is no signing secret'],
    [{ botUserId: '@ask' }, 'is no id of a Slack user'],
  ])('%j are refused in words', (credentials, words) => {
    const { error } = slack.credentials.safeParse(credentials)
    const [value] = Object.values(credentials)
    expect(error?.issues).toHaveLength(1)
    expect(error?.issues[0]?.message).toContain(words)
    expect(error?.issues[0]?.message).not.toContain(value)
  })

  test('of other names, or that are no text, are refused', () => {
    expect(slack.credentials.safeParse({ token: 'xoxb-1' }).success).toBe(false)
    expect(slack.credentials.safeParse({ botToken: 1 }).success).toBe(false)
  })

  test('are marked as secrets where they are', () => {
    expect(z.toJSONSchema(slack.credentials, { io: 'input' })).toMatchObject({
      type: 'object',
      properties: {
        botToken: { 'x-secret': true },
        refreshToken: { 'x-secret': true },
        signingSecret: { 'x-secret': true },
        botUserId: { description: expect.any(String) },
      },
      additionalProperties: false,
    })
  })
})

describe('a lane', () => {
  const EVENT = {
    id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
    orgId: 'acme',
    type: 'chat.turn.completed',
    conversationId: 'c-1',
    data: JSON.stringify({ content: { user: 'hi', assistant: 'hello' } }),
    occurredAt: '2026-01-31T12:00:00.000Z',
  }
  const ok = (body: string) => ({
    statusCode: 200,
    retryAfter: undefined,
    snippet: '',
    body: Buffer.from(body),
  })

  test('of a webhook posts to the webhook, in no thread', () => {
    const sender = slack.open({ url: WEBHOOK, integrationId: 'i', credentials: {} })
    expect(sender).toMatchObject({ url: WEBHOOK, headers: [], secrets: [], channel: null })
    expect(sender.judge(ok('ok'), 0).kind).toBe('delivered')
    expect(sender.threadOf(ok('ok'))).toBeNull()
    const { body, isSigned } = sender.render(EVENT, null)
    expect(isSigned).toBe(false)
    expect(JSON.parse(body)).not.toHaveProperty('channel')
  })

  test('of a channel posts there with the bot token, in the thread of the conversation', () => {
    const sender = slack.open({
      url: CHANNEL,
      integrationId: 'i',
      credentials: { botToken: 'xoxb-1' },
    })
    expect(sender).toMatchObject({
      url: 'https://slack.com/api/chat.postMessage',
      headers: ['authorization', 'Bearer xoxb-1'],
      secrets: ['xoxb-1'],
      channel: 'C0123ABC',
      maxAnswerBytes: 262_144,
    })
    expect(JSON.parse(sender.render(EVENT, '1.1').body)).toMatchObject({
      channel: 'C0123ABC',
      thread_ts: '1.1',
    })
    expect(sender.threadOf(ok('{"ok":true,"ts":"1.1"}'))).toBe('1.1')
    expect(sender.judge(ok('ok'), 0).kind).toBe('failed')
  })

  test('of a channel without a token lets Slack say what is missing', () => {
    const sender = slack.open({ url: CHANNEL, integrationId: 'i', credentials: {} })
    expect(sender).toMatchObject({ headers: [], secrets: [] })
    expect(sender.judge(ok('{"ok":false,"error":"not_authed"}'), 0)).toMatchObject({
      consequence: { stops: 'integration', reason: expect.stringContaining('no bot token') },
    })
  })
})

describe('verification', () => {
  const verify = (credentials: Record<string, string>, call: CallApp) =>
    slack.verify({ credentials, config: {} }, call)
  const answering =
    (body: string, statusCode = 200): CallApp =>
    () =>
      Promise.resolve({ isAnswer: true, statusCode, body })

  test('asks Slack whose the token is', async () => {
    const asked: unknown[] = []
    const result = await verify({ botToken: 'xoxb-1' }, (request) => {
      asked.push(request)
      return answering('{"ok":true,"team":"Acme","user":"ask","team_id":"T1"}')(request)
    })
    expect(result).toEqual({
      ok: true,
      detail: 'The bot token works: it is @ask in the workspace Acme.',
    })
    expect(asked).toEqual([
      {
        method: 'POST',
        url: 'https://slack.com/api/auth.test',
        headers: ['authorization', 'Bearer xoxb-1'],
        body: null,
      },
    ])
  })

  test.each([
    ['{"ok":false,"error":"invalid_auth"}', 'install the app again'],
    ['{"ok":false,"error":"token_expired"}', 'has to be renewed'],
    ['<html>', 'not in the words of its API'],
    ['{"ok":true}', 'not in the words of its API'],
  ])('says what %s means', async (body, words) => {
    expect(await verify({ botToken: 'xoxb-1' }, answering(body))).toEqual({
      ok: false,
      detail: expect.stringContaining(words),
    })
  })

  test('says where Slack cannot be reached', async () => {
    const call: CallApp = () => Promise.resolve({ isAnswer: false, reason: 'timed out' })
    expect(await verify({ botToken: 'xoxb-1' }, call)).toEqual({
      ok: false,
      detail: 'Slack could not be reached: timed out. Try again later.',
    })
  })

  test('without a token asks nothing, and says what to do', async () => {
    const call: CallApp = () => Promise.reject(new Error('nothing is asked'))
    expect(await verify({}, call)).toEqual({
      ok: true,
      detail: expect.stringContaining('when a test is sent'),
    })
  })
})
