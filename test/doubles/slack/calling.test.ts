import { expect, test } from 'vitest'
import { type Answer, openReceiver } from '../../fixtures/receiver.ts'
import { openSlack, type SlackOptions } from '../slack.ts'
import { signV0 } from './signature.ts'

/** A Slack with one workspace, and an app that it calls. */
async function openBoth(answer?: Answer, options: SlackOptions = {}) {
  const stack = new AsyncDisposableStack()
  const app = stack.use(await openReceiver(answer))
  const slack = stack.use(await openSlack({ retryDelaysMs: [0, 0, 0], ...options }))
  slack.connect({
    events: `${app.url}/events`,
    commands: `${app.url}/commands`,
    interactions: `${app.url}/interactions`,
  })
  const team = slack.addTeam('Acme')
  const { botUserId, token } = slack.install(team, ['chat:write', 'commands'])
  const channel = slack.addChannel(team, 'general')
  const events = () => app.requests.map(({ body }) => JSON.parse(body))
  return { app, slack, team, botUserId, token: token.value, channel, events, stack }
}

test('the published example has the published signature', () => {
  const body =
    'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c'
  expect(signV0('8f742231b10e8888abcd99yyyzzz85a5', 1_531_420_618, body)).toBe(
    'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
  )
})

test('the handshake is signed, and right where the challenge comes back', async () => {
  const both = await openBoth((response, { body }) => response.end(JSON.parse(body).challenge))
  await using _ = both.stack
  const { app, slack } = both
  expect(await slack.urlVerification(`${app.url}/events`)).toMatchObject({ isRight: true })
  const [request] = app.requests
  const atS = Number(request?.headers['x-slack-request-timestamp'])
  const signature = signV0(slack.app.signingSecret, atS, request?.body ?? '')
  expect(request?.headers['x-slack-signature']).toBe(signature)
  await using other = await openReceiver((response) => response.end('hello'))
  expect(await slack.urlVerification(other.url)).toMatchObject({ isRight: false, status: 200 })
})

test('a mention arrives as two events of the same message', async () => {
  const { slack, stack, botUserId, channel, team, events } = await openBoth()
  await using _ = stack
  const { message } = await slack.mention({ channel, user: 'U0ANN', text: 'is 1 < 2?' })
  const text = `<@${botUserId}> is 1 &lt; 2?`
  const common = { user: 'U0ANN', text, ts: message.ts, channel: channel.id }
  const sent = events().toSorted((a, b) => a.event.type.localeCompare(b.event.type))
  expect(sent).toMatchObject([
    { team_id: team.id, api_app_id: slack.app.id, event: { type: 'app_mention', ...common } },
    { type: 'event_callback', event: { type: 'message', channel_type: 'channel', ...common } },
  ])
  expect(sent[0].authorizations).toMatchObject([{ user_id: botUserId, is_bot: true }])
  expect(new Set(sent.map(({ event_id }) => event_id)).size).toBe(2)
})

test('a reply names its thread, a direct message its kind of channel', async () => {
  const { slack, stack, channel, team, events } = await openBoth()
  await using _ = stack
  const { message } = await slack.say({ channel, user: 'U0ANN', text: 'one' })
  await slack.threadReply({ channel, user: 'U0BOB', text: 'two', thread: message.ts })
  const direct = slack.addChannel(team, 'ann', { kind: 'direct' })
  await slack.directMessage({ channel: direct, user: 'U0ANN', text: 'three' })
  expect(events().map(({ event }) => event)).toMatchObject([
    { text: 'one' },
    { text: 'two', thread_ts: message.ts, parent_user_id: 'U0ANN' },
    { text: 'three', channel_type: 'im' },
  ])
})

test('an app hears nothing from where it is not', async () => {
  const { slack, stack, team, app } = await openBoth()
  await using _ = stack
  const elsewhere = slack.addChannel(team, 'elsewhere', { hasBot: false })
  expect((await slack.mention({ channel: elsewhere, user: 'U0ANN', text: 'hi' })).sent).toEqual([])
  expect(app.requests).toEqual([])
})

test('an app hears what it said itself', async () => {
  const { slack, stack, channel, token, botUserId, events } = await openBoth()
  await using _ = stack
  await fetch(`${slack.apiUrl}chat.postMessage`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ channel: channel.id, text: 'I am a bot' }),
  })
  await slack.settled()
  expect(events()).toMatchObject([{ event: { type: 'message', user: botUserId } }])
  expect(events()[0].event.bot_id).toMatch(/^B/)
})

test('an event that fails comes three times more, with the same id and a reason', async () => {
  let failures = 2
  const { slack, stack, app, events } = await openBoth((response) => {
    failures -= 1
    response.writeHead(failures >= 0 ? 503 : 200).end()
  })
  await using _ = stack
  const sent = await slack.sendEvent(`${app.url}/events`, { type: 'message' })
  expect(sent.map(({ status }) => status)).toEqual([503, 503, 200])
  const retries = app.requests.map(({ headers }) => [
    headers['x-slack-retry-num'],
    headers['x-slack-retry-reason'],
  ])
  expect(retries).toEqual([
    [undefined, undefined],
    ['1', 'http_error'],
    ['2', 'http_error'],
  ])
  expect(new Set(events().map(({ event_id }) => event_id)).size).toBe(1)
  failures = 99
  expect(await slack.sendEvent(`${app.url}/events`, { type: 'message' })).toHaveLength(4)
})

test('an answer that is late counts as none, and the event comes again', async () => {
  const { slack, stack, app } = await openBoth(() => undefined, {
    ackTimeoutMs: 30,
    retryDelaysMs: [0],
  })
  await using _ = stack
  const sent = await slack.sendEvent(`${app.url}/events`, { type: 'message' })
  expect(sent).toMatchObject([
    { status: null, failure: 'http_timeout' },
    { status: null, failure: 'http_timeout' },
  ])
  expect(app.requests[1]?.headers['x-slack-retry-reason']).toBe('http_timeout')
})

test('an app can ask for no retry', async () => {
  const { slack, stack, app } = await openBoth((response) =>
    response.writeHead(500, { 'x-slack-no-retry': '1' }).end(),
  )
  await using _ = stack
  expect(await slack.sendEvent(`${app.url}/events`, { type: 'message' })).toHaveLength(1)
})

test.each([[true as const], ['at once' as const]])(
  'an event that was acknowledged comes three times on demand: %s',
  async (sendTwiceMore) => {
    const { slack, stack, app, events } = await openBoth()
    await using _ = stack
    await slack.sendEvent(`${app.url}/events`, { type: 'message' }, { sendTwiceMore })
    expect(events()).toHaveLength(3)
    expect(new Set(events().map(({ event_id }) => event_id)).size).toBe(1)
  },
)

test('a signature and a time can be wrong on demand', async () => {
  const { slack, stack, app } = await openBoth()
  await using _ = stack
  const wrong = { timestampS: 1, signature: 'v0=00' }
  await slack.sendEvent(`${app.url}/events`, { type: 'message' }, wrong)
  expect(app.requests[0]?.headers).toMatchObject({
    'x-slack-request-timestamp': '1',
    'x-slack-signature': 'v0=00',
  })
})

test('a removed app is told so twice', async () => {
  const { slack, stack, team, botUserId, events } = await openBoth()
  await using _ = stack
  await slack.uninstall(team)
  const told = events()
    .map(({ event }) => event)
    .toSorted((a, b) => a.type.localeCompare(b.type))
  expect(told).toEqual([
    { type: 'app_uninstalled' },
    { type: 'tokens_revoked', tokens: { oauth: [], bot: [botUserId] } },
  ])
})

test('a command is a form, and its answer is for the one who asked', async () => {
  const { slack, stack, channel, app } = await openBoth((response) =>
    response.end(JSON.stringify({ text: 'I am on it' })),
  )
  await using _ = stack
  const asked = await slack.slashCommand({ channel, user: 'U0ANN', text: 'what is up?' })
  expect(asked.problem).toBeNull()
  const form = Object.fromEntries(new URLSearchParams(app.requests[0]?.body))
  expect(form).toMatchObject({
    command: '/ask',
    text: 'what is up?',
    response_url: asked.responseUrl,
  })
  expect(slack.messages).toMatchObject([{ shown: 'I am on it', ephemeralTo: 'U0ANN' }])
})

test('a command that is not acknowledged in time shows operation_timeout', async () => {
  const { slack, stack, channel } = await openBoth(() => undefined, { ackTimeoutMs: 30 })
  await using _ = stack
  const { problem } = await slack.slashCommand({ channel, user: 'U0ANN', text: 'hello?' })
  expect(problem).toBe('operation_timeout')
})

test('a response URL takes five answers within 30 minutes', async () => {
  let nowMs = Date.now()
  const { slack, stack, channel } = await openBoth((response) => response.end(), {
    now: () => nowMs,
  })
  await using _ = stack
  const answer = async (url: string, body: object) => {
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) })
    return { status: response.status, body: await response.text() }
  }
  const { responseUrl } = await slack.slashCommand({ channel, user: 'U0ANN', text: 'a' })
  for (const text of ['1', '2', '3', '4']) {
    expect(await answer(responseUrl, { text })).toEqual({ status: 200, body: 'ok' })
  }
  await answer(responseUrl, { text: '5', response_type: 'in_channel' })
  const used = JSON.stringify({ ok: false, error: 'used_url' })
  expect(await answer(responseUrl, { text: '6' })).toEqual({ status: 404, body: used })
  expect(slack.messages.map(({ ephemeralTo }) => ephemeralTo)).toEqual([
    ...Array.from({ length: 4 }, () => 'U0ANN'),
    null,
  ])
  const late = await slack.slashCommand({ channel, user: 'U0ANN', text: 'b' })
  nowMs += 1_800_001
  const expired = JSON.stringify({ ok: false, error: 'expired_url' })
  expect(await answer(late.responseUrl, { text: '1' })).toEqual({ status: 404, body: expired })
})

test('a click names its button, and its answer takes the place of the message', async () => {
  const { slack, stack, channel, token, app } = await openBoth()
  await using _ = stack
  const text = { type: 'plain_text', text: 'Approve' }
  const button = { type: 'button', action_id: 'approve', value: 'run_1', text }
  await fetch(`${slack.apiUrl}chat.postMessage`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      channel: channel.id,
      text: 'May I?',
      blocks: [{ type: 'actions', elements: [button] }],
    }),
  })
  const [message] = slack.messages
  if (message === undefined) throw new Error('nothing was posted')
  const { responseUrl } = await slack.clickButton({ message, user: 'U0ANN', actionId: 'approve' })
  const form = new URLSearchParams(app.requests.find(({ url }) => url === '/interactions')?.body)
  expect(JSON.parse(form.get('payload') ?? '')).toMatchObject({
    type: 'block_actions',
    user: { id: 'U0ANN' },
    container: { message_ts: message.ts },
    actions: [{ action_id: 'approve', value: 'run_1' }],
  })
  const body = JSON.stringify({ replace_original: true, text: 'Approved' })
  await fetch(responseUrl, { method: 'POST', body })
  expect(slack.messages).toMatchObject([{ ts: message.ts, shown: 'Approved' }])
  await expect(slack.clickButton({ message, user: 'U0ANN', actionId: 'no' })).rejects.toThrow('no')
})
