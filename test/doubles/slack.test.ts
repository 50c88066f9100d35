import { expect, test } from 'vitest'
import type { Channel } from './slack/world.ts'
import { openSlack, type Slack, type SlackOptions } from './slack.ts'

const SCOPES = ['chat:write', 'chat:write.public', 'commands', 'incoming-webhook']

async function openWorkspace(options: SlackOptions = {}) {
  const slack = await openSlack(options)
  const team = slack.addTeam('Acme Robots')
  const channel = slack.addChannel(team, 'general')
  return Object.assign(slack, { team, channel })
}

async function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const type = { 'content-type': 'application/json; charset=utf-8' }
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...type, ...headers },
    body: text,
  })
  return { status: response.status, headers: response.headers, body: await response.text() }
}

async function callApi(slack: Slack, method: string, args: object, token: string) {
  const answer = await post(slack.apiUrl + method, args, { authorization: `Bearer ${token}` })
  return { ...answer, json: JSON.parse(answer.body) }
}

const say = (slack: Slack, channel: Channel, token: string, args: object = {}) =>
  callApi(slack, 'chat.postMessage', { channel: channel.id, text: 'hello', ...args }, token)

test('a webhook takes a message, and says ok in plain text', async () => {
  await using slack = await openWorkspace()
  const answer = await post(slack.addWebhook(slack.channel), { text: 'hello &lt;b&gt;' })
  expect(answer).toMatchObject({ status: 200, body: 'ok' })
  expect(answer.headers.get('content-type')).toMatch('text/plain')
  expect(slack.messagesIn(slack.channel)).toMatchObject([
    { text: 'hello &lt;b&gt;', shown: 'hello <b>', by: { kind: 'webhook' } },
  ])
})

test.each([
  ['{"text": ', 400, 'invalid_payload'],
  ['[]', 400, 'invalid_payload'],
  [{}, 400, 'no_text'],
  [{ text: '', blocks: [] }, 400, 'no_text'],
  [
    { text: 'a', attachments: Array.from({ length: 101 }, () => ({})) },
    400,
    'too_many_attachments',
  ],
  [{ text: 'a', blocks: [{ type: 'nonsense' }] }, 400, 'invalid_blocks'],
])('a webhook refuses %j', async (body, status, error) => {
  await using slack = await openWorkspace()
  const answer = await post(slack.addWebhook(slack.channel), body)
  expect(answer).toMatchObject({ status, body: error })
  expect(slack.messages).toEqual([])
})

test('a webhook that is not there any more says why', async () => {
  await using slack = await openWorkspace()
  const url = slack.addWebhook(slack.channel)
  expect(await post(`${url}0`, { text: 'a' })).toMatchObject({ status: 403, body: 'invalid_token' })
  slack.channel.isArchived = true
  expect(await post(url, { text: 'a' })).toMatchObject({ status: 410, body: 'channel_is_archived' })
  slack.channel.isArchived = false
  slack.removeWebhook(url)
  expect(await post(url, { text: 'a' })).toMatchObject({ status: 404, body: 'no_service' })
  const elsewhere = `${slack.url}/services/T0/B0/x`
  expect(await post(elsewhere, { text: 'a' })).toMatchObject({ status: 404, body: 'no_team' })
})

test('a channel takes a short burst, then one message a second, by webhook and token together', async () => {
  let nowMs = 1_700_000_000_000
  await using slack = await openWorkspace({ now: () => nowMs, burst: 2 })
  const url = slack.addWebhook(slack.channel)
  const { token } = slack.install(slack.team, SCOPES)
  expect(await post(url, { text: '1' })).toMatchObject({ status: 200 })
  expect(await say(slack, slack.channel, token.value)).toMatchObject({ status: 200 })
  const refused = await post(url, { text: '3' })
  expect(refused.status).toBe(429)
  expect(refused.headers.get('retry-after')).toBe('1')
  const limited = await say(slack, slack.channel, token.value)
  expect(limited).toMatchObject({ status: 429, json: { ok: false, error: 'ratelimited' } })
  expect(limited.headers.get('retry-after')).toBe('1')
  const other = slack.addWebhook(slack.addChannel(slack.team, 'random'))
  expect(await post(other, { text: 'elsewhere' })).toMatchObject({ status: 200 })
  nowMs += 1000
  expect(await post(url, { text: '3' })).toMatchObject({ status: 200 })
  expect(await post(url, { text: '4' })).toMatchObject({ status: 429 })
})

test('a token posts a message and answers in its thread', async () => {
  await using slack = await openWorkspace()
  const { token, botUserId } = slack.install(slack.team, SCOPES)
  const first = await say(slack, slack.channel, token.value)
  expect(first).toMatchObject({
    status: 200,
    json: { ok: true, channel: slack.channel.id, message: { text: 'hello', user: botUserId } },
  })
  expect(first.headers.get('x-oauth-scopes')).toBe(SCOPES.join(','))
  const { ts } = first.json
  expect(await say(slack, slack.channel, token.value, { thread_ts: ts })).toMatchObject({
    json: { ok: true, message: { thread_ts: ts } },
  })
  expect(slack.messagesIn(slack.channel).map(({ threadTs }) => threadTs)).toEqual([null, ts])
  expect(await say(slack, slack.channel, token.value, { thread_ts: '1.000000' })).toMatchObject({
    status: 200,
    json: { ok: false, error: 'cannot_reply_to_message' },
  })
})

test('the word Bearer is written with a capital', async () => {
  await using slack = await openWorkspace()
  const { token } = slack.install(slack.team, SCOPES)
  const url = `${slack.apiUrl}auth.test`
  const tryWith = async (authorization: string) =>
    JSON.parse((await post(url, {}, { authorization })).body)
  expect(await tryWith(`bearer ${token.value}`)).toEqual({ ok: false, error: 'not_authed' })
  expect(await tryWith('Bearer xoxb-nobody')).toEqual({ ok: false, error: 'invalid_auth' })
  expect(await tryWith(`Bearer ${token.value}`)).toMatchObject({
    ok: true,
    team: 'Acme Robots',
    team_id: slack.team.id,
  })
})

test('an error of the API comes with HTTP 200 and names what is wrong', async () => {
  await using slack = await openWorkspace()
  const { token } = slack.install(slack.team, ['chat:write'])
  const errorOf = async (args: object, channel = slack.channel) =>
    (await say(slack, channel, token.value, args)).json.error
  expect(await errorOf({ text: '' })).toBe('no_text')
  expect(await errorOf({ channel: 'C0NOWHERE' })).toBe('channel_not_found')
  expect(await errorOf({ markdown_text: '*hi*' })).toBe('markdown_text_conflict')
  expect(await errorOf({ blocks: {} })).toBe('invalid_blocks_format')
  expect(await errorOf({}, slack.addChannel(slack.team, 'out', { hasBot: false }))).toBe(
    'not_in_channel',
  )
  expect(await errorOf({}, slack.addChannel(slack.team, 'old', { isArchived: true }))).toBe(
    'is_archived',
  )
  const elsewhere = slack.addChannel(slack.addTeam('Other'), 'theirs')
  expect(await errorOf({}, elsewhere)).toBe('channel_not_found')
  expect(slack.messages).toEqual([])
})

test('what is wrong with a token has a name each', async () => {
  await using slack = await openWorkspace()
  const { token } = slack.install(slack.team, ['commands'])
  expect((await say(slack, slack.channel, token.value)).json).toMatchObject({
    error: 'missing_scope',
    needed: 'chat:write',
    provided: 'commands',
  })
  expect((await callApi(slack, 'auth.revoke', {}, token.value)).json).toMatchObject({ ok: true })
  expect((await say(slack, slack.channel, token.value)).json.error).toBe('token_revoked')
  await slack.uninstall(slack.team)
  expect((await say(slack, slack.channel, token.value)).json.error).toBe('account_inactive')
})

test('uninstalling takes the webhooks too', async () => {
  await using slack = await openWorkspace()
  const { token } = slack.install(slack.team, SCOPES)
  const url = slack.addWebhook(slack.channel)
  const { clientId: client_id, clientSecret: client_secret } = slack.app
  const refused = await callApi(slack, 'apps.uninstall', { client_id }, token.value)
  expect(refused.json.error).toBe('bad_client_secret')
  const args = { client_id, client_secret }
  expect((await callApi(slack, 'apps.uninstall', args, token.value)).json).toEqual({ ok: true })
  expect(await post(url, { text: 'a' })).toMatchObject({ status: 404, body: 'no_service' })
})

test('a text over 4,040 characters becomes messages of 4,000, and the end over 40,000 is lost', async () => {
  await using slack = await openWorkspace()
  const { token } = slack.install(slack.team, SCOPES)
  await say(slack, slack.channel, token.value, { text: 'a'.repeat(4040) })
  await say(slack, slack.channel, token.value, { text: 'b'.repeat(50_000) })
  const lengths = slack.messages.map(({ text }) => text.length)
  expect(lengths).toEqual([4040, ...Array.from({ length: 10 }, () => 4000)])
})

test('a request fails or hangs on demand, and the next one goes its way', async () => {
  await using slack = await openWorkspace()
  const url = slack.addWebhook(slack.channel)
  slack.failNext({ path: '/services/', status: 500, body: 'rollup_error' })
  slack.hangNext({ path: '/services/' })
  expect(await post(url, { text: '1' })).toMatchObject({ status: 500, body: 'rollup_error' })
  const signal = AbortSignal.timeout(50)
  await expect(fetch(url, { method: 'POST', body: '{"text":"2"}', signal })).rejects.toThrow()
  expect(await post(url, { text: '3' })).toMatchObject({ status: 200 })
  expect(slack.received.map(({ status }) => status)).toEqual([500, null, 200])
})
