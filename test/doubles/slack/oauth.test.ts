import { expect, test } from 'vitest'
import { openSlack, type Slack, type SlackOptions } from '../slack.ts'

const REDIRECT = 'https://chat.example/integrations/slack/callback'
const SCOPE = 'chat:write,incoming-webhook'

async function openConsent(options: SlackOptions = {}) {
  const slack = await openSlack(options)
  const team = slack.addTeam('Acme')
  const channel = slack.addChannel(team, 'general')
  const consent = { isGiven: true, teamId: team.id, channelId: channel.id, userId: 'U0ADMIN' }
  slack.answerConsent(consent)
  return Object.assign(slack, { team, channel, consent })
}

async function authorize(slack: Slack, changes: Record<string, string> = {}) {
  const url = new URL(slack.authorizeUrl)
  const asked = { client_id: slack.app.clientId, scope: SCOPE, redirect_uri: REDIRECT, state: 's1' }
  url.search = new URLSearchParams({ ...asked, ...changes }).toString()
  const response = await fetch(url, { redirect: 'manual' })
  const location = response.headers.get('location')
  const query = location === null ? null : Object.fromEntries(new URL(location).searchParams)
  return { status: response.status, query, body: await response.text() }
}

interface Answer {
  readonly ok: boolean
  readonly access_token: string
  readonly refresh_token: string
  readonly scope: string
  readonly incoming_webhook: { readonly url: string }
}

async function access(slack: Slack, form: Record<string, string>): Promise<Answer> {
  const client = { client_id: slack.app.clientId, client_secret: slack.app.clientSecret }
  const body = new URLSearchParams({ ...client, ...form })
  const response = await fetch(`${slack.apiUrl}oauth.v2.access`, { method: 'POST', body })
  expect(response.status).toBe(200)
  return JSON.parse(await response.text())
}

async function codeOf(slack: Slack): Promise<string> {
  return (await authorize(slack)).query?.code ?? ''
}

const exchange = (slack: Slack, code: string, redirect_uri = REDIRECT) =>
  access(slack, { code, redirect_uri })
const refresh = (slack: Slack, refresh_token: string) =>
  access(slack, { grant_type: 'refresh_token', refresh_token })

test('a person consents, and the code becomes a token and a webhook that work', async () => {
  await using slack = await openConsent()
  const { status, query } = await authorize(slack)
  expect({ status, query }).toEqual({ status: 302, query: { code: query?.code, state: 's1' } })
  const answer = await exchange(slack, query?.code ?? '')
  expect(answer).toMatchObject({
    ok: true,
    access_token: expect.stringMatching(/^xoxb-/),
    token_type: 'bot',
    scope: SCOPE,
    team: { id: slack.team.id, name: 'Acme' },
    enterprise: null,
    authed_user: { id: 'U0ADMIN' },
    incoming_webhook: { channel: '#general', channel_id: slack.channel.id },
  })
  expect(answer).not.toHaveProperty('refresh_token')
  expect(slack.tokensOf(slack.team)).toEqual([answer.access_token])
  const { url } = answer.incoming_webhook
  const posted = await fetch(url, { method: 'POST', body: '{"text":"hello"}' })
  expect(await posted.text()).toBe('ok')
})

test('a person who declines brings an error back, and the state', async () => {
  await using slack = await openConsent()
  slack.answerConsent({ ...slack.consent, isGiven: false })
  expect((await authorize(slack)).query).toEqual({ error: 'access_denied', state: 's1' })
})

test.each([
  [{ client_id: 'other' }, 'invalid_client_id'],
  [{ scope: 'chat:write commands' }, 'invalid_scope'],
  [{ scope: '' }, 'no_scopes'],
  [{ state: '' }, 'missing_state'],
  [{ redirect_uri: 'https://chat.example.evil/integrations' }, 'bad_redirect_uri'],
  [{ redirect_uri: 'http://chat.example/integrations/slack' }, 'bad_redirect_uri'],
  [{ redirect_uri: `${REDIRECT}#a` }, 'bad_redirect_uri'],
])('the consent page refuses %j', async (changes, problem) => {
  await using slack = await openConsent({ app: { redirectUrls: ['https://chat.example'] } })
  expect(await authorize(slack, changes)).toMatchObject({ status: 400, body: problem })
})

test('a code is used once', async () => {
  await using slack = await openConsent()
  const code = await codeOf(slack)
  expect(await exchange(slack, code)).toMatchObject({ ok: true })
  expect(await exchange(slack, code)).toEqual({ ok: false, error: 'code_already_used' })
  expect(await exchange(slack, 'made-up')).toEqual({ ok: false, error: 'invalid_code' })
})

test('a code is for its redirect, its client and ten minutes', async () => {
  let nowMs = 1_700_000_000_000
  await using slack = await openConsent({ now: () => nowMs })
  const code = await codeOf(slack)
  const other = await exchange(slack, code, `${REDIRECT}/other`)
  expect(other).toEqual({ ok: false, error: 'bad_redirect_uri' })
  const stranger = { code, redirect_uri: REDIRECT, client_secret: 'wrong' }
  expect(await access(slack, stranger)).toEqual({ ok: false, error: 'bad_client_secret' })
  nowMs += 600_001
  expect(await exchange(slack, code)).toEqual({ ok: false, error: 'invalid_code' })
})

test('the client may say who it is by HTTP Basic, and not in JSON', async () => {
  await using slack = await openConsent()
  const url = `${slack.apiUrl}oauth.v2.access`
  const { clientId, clientSecret } = slack.app
  const authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
  const body = new URLSearchParams({ code: await codeOf(slack), redirect_uri: REDIRECT })
  const basic = await fetch(url, { method: 'POST', headers: { authorization }, body })
  expect(await basic.json()).toMatchObject({ ok: true })
  const headers = { 'content-type': 'application/json' }
  const inJson = await fetch(url, { method: 'POST', headers, body: '{}' })
  expect(await inJson.json()).toEqual({ ok: false, error: 'invalid_post_type' })
})

test('scopes are added when it is installed again, and never taken away', async () => {
  await using slack = await openConsent()
  const first = await exchange(slack, await codeOf(slack))
  const { query } = await authorize(slack, { scope: 'commands' })
  const second = await exchange(slack, query?.code ?? '')
  expect(second.scope).toBe(`${SCOPE},commands`)
  expect(second.access_token).toBe(first.access_token)
  expect(second).not.toHaveProperty('incoming_webhook')
})

test('a token that rotates expires after 12 hours, and its refresh token holds once', async () => {
  let nowMs = 1_700_000_000_000
  await using slack = await openConsent({ now: () => nowMs, app: { hasTokenRotation: true } })
  const first = await exchange(slack, await codeOf(slack))
  expect(first).toMatchObject({
    access_token: expect.stringMatching(/^xoxe\.xoxb-1-/),
    refresh_token: expect.stringMatching(/^xoxe-1-/),
    expires_in: 43_200,
  })
  nowMs += 43_200_000
  const headers = { authorization: `Bearer ${first.access_token}` }
  const late = await fetch(`${slack.apiUrl}auth.test`, { method: 'POST', headers })
  expect(await late.json()).toEqual({ ok: false, error: 'token_expired' })
  const second = await refresh(slack, first.refresh_token)
  expect(second).toMatchObject({ ok: true, expires_in: 43_200 })
  expect(slack.tokensOf(slack.team)).toEqual([second.access_token])
  const again = await refresh(slack, first.refresh_token)
  expect(again).toEqual({ ok: false, error: 'invalid_refresh_token' })
  expect(await refresh(slack, second.refresh_token)).toMatchObject({ ok: true })
  expect(slack.refreshes.map(({ isOk }) => isOk)).toEqual([true, false, true])
})

test('of two refreshes at once one gets a token', async () => {
  await using slack = await openConsent({ app: { hasTokenRotation: true } })
  slack.slowRefresh(50)
  const { refresh_token } = await exchange(slack, await codeOf(slack))
  const both = await Promise.all([refresh(slack, refresh_token), refresh(slack, refresh_token)])
  expect(both.map(({ ok }) => ok).toSorted()).toEqual([false, true])
})

test('a used refresh token holds for its grace, and two access tokens hold at most', async () => {
  let nowMs = 1_700_000_000_000
  const app = { hasTokenRotation: true }
  await using slack = await openConsent({ now: () => nowMs, app, refreshGraceMs: 1000 })
  const first = await exchange(slack, await codeOf(slack))
  const second = await refresh(slack, first.refresh_token)
  nowMs += 999
  const third = await refresh(slack, first.refresh_token)
  expect(slack.tokensOf(slack.team)).toEqual([second.access_token, third.access_token])
  nowMs += 1
  expect(await refresh(slack, first.refresh_token)).toMatchObject({ ok: false })
})
