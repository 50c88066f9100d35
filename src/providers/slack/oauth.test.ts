import { describe, expect, test } from 'vitest'
import type { CallApp } from '../../core/provider.ts'
import { appManifest } from './app-manifest.ts'
import { authorizeUrl, exchangeCode, exchangeReason, refresh, SCOPES } from './oauth.ts'

const CLIENT = { apiUrl: 'https://slack.com/api/', clientId: '1.2', clientSecret: 's3cret' }
const CODE = {
  ...CLIENT,
  code: 'c0de',
  redirectUri: 'https://us.example/integrations/slack/callback',
}
const INSTALLED = {
  ok: true,
  access_token: 'xoxb-1',
  token_type: 'bot',
  scope: 'commands,incoming-webhook',
  bot_user_id: 'UBOT',
  app_id: 'A1',
  team: { id: 'T1', name: 'Acme' },
  enterprise: null,
  is_enterprise_install: false,
  authed_user: { id: 'U1' },
  incoming_webhook: {
    channel: '#general',
    channel_id: 'C1',
    configuration_url: 'https://acme.slack.com/services/B1',
    url: 'https://hooks.slack.com/services/T1/B1/x',
  },
}

type Request = Parameters<CallApp>[0]

/** An app that answers one thing, and what it was asked. */
function answering(body: unknown, statusCode = 200) {
  const asked: Request[] = []
  const call: CallApp = (request) => {
    asked.push(request)
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return Promise.resolve({ isAnswer: true, statusCode, body: text })
  }
  return { call, asked }
}

const unreachable: CallApp = () => Promise.resolve({ isAnswer: false, reason: 'timed out' })

test('the consent page is asked for scopes with commas, and brings the state back', () => {
  const url = new URL(authorizeUrl({ ...CLIENT, redirectUri: CODE.redirectUri, state: 'a+b/c=' }))
  expect(url.origin + url.pathname).toBe('https://slack.com/oauth/v2/authorize')
  expect(Object.fromEntries(url.searchParams)).toEqual({
    client_id: '1.2',
    scope: SCOPES.join(','),
    redirect_uri: CODE.redirectUri,
    state: 'a+b/c=',
  })
})

describe('a code', () => {
  test('becomes an installation', async () => {
    const { call, asked } = answering(INSTALLED)
    expect(await exchangeCode(call, CODE)).toEqual({
      ok: true,
      installed: {
        teamId: 'T1',
        teamName: 'Acme',
        enterpriseId: null,
        isEnterprise: false,
        appId: 'A1',
        botUserId: 'UBOT',
        botToken: 'xoxb-1',
        refreshToken: null,
        expiresInS: null,
        scopes: ['commands', 'incoming-webhook'],
        webhook: {
          channel: '#general',
          channelId: 'C1',
          url: 'https://hooks.slack.com/services/T1/B1/x',
        },
      },
    })
    expect(asked).toMatchObject([
      {
        method: 'POST',
        url: 'https://slack.com/api/oauth.v2.access',
        headers: ['content-type', 'application/x-www-form-urlencoded'],
      },
    ])
    expect(Object.fromEntries(new URLSearchParams(asked[0]?.body ?? ''))).toEqual({
      client_id: '1.2',
      client_secret: 's3cret',
      code: 'c0de',
      redirect_uri: CODE.redirectUri,
    })
  })

  test('brings rotating tokens, and may bring no webhook and no workspace', async () => {
    const { call } = answering({
      ...INSTALLED,
      access_token: 'xoxe.xoxb-1-a',
      refresh_token: 'xoxe-1-b',
      expires_in: 43_200,
      team: null,
      enterprise: { id: 'E1', name: 'Org' },
      is_enterprise_install: true,
      incoming_webhook: undefined,
    })
    expect(await exchangeCode(call, CODE)).toMatchObject({
      installed: {
        teamId: null,
        enterpriseId: 'E1',
        isEnterprise: true,
        refreshToken: 'xoxe-1-b',
        expiresInS: 43_200,
        webhook: null,
      },
    })
  })

  test.each(['invalid_code', 'code_already_used', 'bad_redirect_uri', 'some_new_error'])(
    'that Slack refuses (%s) says why',
    async (error) => {
      const { call } = answering({ ok: false, error })
      expect(await exchangeCode(call, CODE)).toEqual({
        ok: false,
        error,
        reason: exchangeReason(error),
      })
      expect(exchangeReason(error)).toMatch(/^[A-Z].+\. [A-Z].+\.$/)
    },
  )

  test('that brings no bot is no installation', async () => {
    const { call } = answering({ ...INSTALLED, token_type: 'user' })
    expect(await exchangeCode(call, CODE)).toMatchObject({
      ok: false,
      error: 'invalid_answer',
      reason: expect.stringContaining('token_type'),
    })
  })

  test.each([
    [500, 'down'],
    [200, '<html>'],
    [429, ''],
  ])('is lost where Slack answers %i %j, and can be had anew', async (statusCode, body) => {
    const { call } = answering(body, statusCode)
    expect(await exchangeCode(call, CODE)).toMatchObject({ ok: false, error: 'unreachable' })
    expect(await exchangeCode(unreachable, CODE)).toMatchObject({
      ok: false,
      error: 'unreachable',
      reason: 'Slack could not be reached: timed out. Start the installation again.',
    })
  })
})

describe('a refresh', () => {
  const OLD = { ...CLIENT, refreshToken: 'xoxe-1-old' }

  test('brings a new pair', async () => {
    const { call, asked } = answering({
      ok: true,
      access_token: 'xoxe.xoxb-1-new',
      refresh_token: 'xoxe-1-new',
      expires_in: 43_200,
    })
    expect(await refresh(call, OLD)).toEqual({
      ok: true,
      botToken: 'xoxe.xoxb-1-new',
      refreshToken: 'xoxe-1-new',
      expiresInS: 43_200,
    })
    expect(Object.fromEntries(new URLSearchParams(asked[0]?.body ?? ''))).toEqual({
      client_id: '1.2',
      client_secret: 's3cret',
      grant_type: 'refresh_token',
      refresh_token: 'xoxe-1-old',
    })
  })

  test.each(['invalid_refresh_token', 'token_revoked', 'account_inactive'])(
    'that Slack refuses for good (%s) is final',
    async (error) => {
      const { call } = answering({ ok: false, error })
      expect(await refresh(call, OLD)).toMatchObject({ ok: false, isFinal: true })
    },
  )

  test.each(['ratelimited', 'internal_error', 'bad_client_secret', 'some_new_error'])(
    'that fails for another reason (%s) may work later',
    async (error) => {
      const { call } = answering({ ok: false, error })
      expect(await refresh(call, OLD)).toMatchObject({ ok: false, isFinal: false })
    },
  )

  test('that nobody answered, or nobody understands, may work later', async () => {
    expect(await refresh(unreachable, OLD)).toMatchObject({ isFinal: false })
    expect(await refresh(answering('down', 503).call, OLD)).toMatchObject({ isFinal: false })
    expect(await refresh(answering({ ok: true }).call, OLD)).toMatchObject({ isFinal: false })
  })
})

test('no refusal repeats a secret', async () => {
  const { call } = answering({ ok: false, error: 'xoxe-1-old s3cret' })
  const results = [
    await exchangeCode(call, CODE),
    await refresh(call, { ...CLIENT, refreshToken: 'xoxe-1-old' }),
  ]
  expect(JSON.stringify(results)).not.toMatch(/s3cret|xoxe/)
})

test('the manifest of the app names our addresses, and asks for the same scopes', () => {
  const manifest = appManifest({ publicUrl: 'https://us.example/pb/', name: 'A'.repeat(50) })
  expect(manifest.display_information.name).toHaveLength(35)
  expect(manifest.oauth_config).toEqual({
    redirect_urls: ['https://us.example/pb/integrations/slack/callback'],
    scopes: { bot: [...SCOPES] },
  })
  expect(manifest.settings).toMatchObject({
    event_subscriptions: { request_url: 'https://us.example/pb/inbound/slack/events' },
    interactivity: {
      is_enabled: true,
      request_url: 'https://us.example/pb/inbound/slack/interactions',
    },
    token_rotation_enabled: true,
  })
  expect(manifest.features.slash_commands).toMatchObject([
    { command: '/ask', url: 'https://us.example/pb/inbound/slack/commands' },
  ])
  expect(JSON.parse(JSON.stringify(manifest))).toEqual(manifest)
})
