import { createHmac } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Provider } from '../../src/core/provider.ts'
import { genericWebhook } from '../../src/providers/generic-webhook/generic-webhook.ts'
import { internalHttp } from '../../src/providers/internal-http/internal-http.ts'
import { makeMcp } from '../../src/providers/mcp/mcp.ts'
import { makeSlack } from '../../src/providers/slack/slack.ts'
import { makeTeams } from '../../src/providers/teams/teams.ts'
import { makeLookAtMcp } from '../../src/tools/mcp/client/look-at.ts'
import { discordWebhook } from './discord-webhook/discord-webhook.ts'
import { describeProvider } from './providers.ts'
import type { ProviderSamples } from './samples.ts'

const SECRET = 'whsec_YW4gZXhhbXBsZSBzZWNyZXQgb2YgMzIgYnl0ZXMuLi4='
const TEAMS_TOKEN = Buffer.alloc(32, 'teams').toString('base64')
const KEY_OF_URL = 'kEyThAtOnLyThEoRgMaYkNoW0123456789AbCdEfGhI'
const WORKFLOW_ID = '0123456789abcdef0123456789abcdef'
const WORKFLOW = `https://default0123.1f.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/${WORKFLOW_ID}/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=${KEY_OF_URL}`

const workflowError = (code: string) => JSON.stringify({ error: { code, message: 'No.' } })
const slackError = (error: string) => JSON.stringify({ ok: false, error })

const GENERIC: ProviderSamples = {
  urls: [
    {
      url: 'https://hooks.example.com/patchbay?team=%2f',
      secrets: [],
      taken: [
        { statusCode: 200, body: 'ok' },
        { statusCode: 204, body: '' },
      ],
      endings: [],
    },
  ],
  wrongUrls: [],
  credentials: [{ apiKey: 'a-key-of-the-service' }],
  publicCredentials: [],
  wrongCredentials: [],
  configs: [
    { region: 'eu', attempts: 3, isSandbox: true, healthUrl: 'https://example.com/healthz' },
  ],
  wrongConfigs: [{ healthUrl: 'healthz' }, { region: ['eu'] }],
  maxBodyBytes: null,
  harmful: null,
  inbound: {
    secrets: { credentials: {}, signingSecrets: [SECRET] },
    makeBody: () => JSON.stringify({ conversationId: 'c-1', content: 'Hello', reply: true }),
    sign(rawBody, nowMs) {
      const timestamp = String(Math.floor(nowMs / 1000))
      const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64')
      const hmac = createHmac('sha256', key).update(`msg_1.${timestamp}.${rawBody}`)
      const headers = {
        'webhook-id': 'msg_1',
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${hmac.digest('base64')}`,
      }
      return { headers, rawBody, nowMs }
    },
  },
}

const SLACK: ProviderSamples = {
  urls: [
    {
      url: `https://hooks.slack.com/services/T00000001/B00000001/${KEY_OF_URL}`,
      secrets: [KEY_OF_URL],
      taken: [{ statusCode: 200, body: 'ok' }],
      endings: [
        { statusCode: 403, body: 'invalid_token', stops: 'subscription' },
        { statusCode: 404, body: 'no_service', stops: 'subscription' },
        { statusCode: 410, body: 'channel_is_archived', stops: 'subscription' },
      ],
    },
    {
      url: 'https://slack.com/api/chat.postMessage?channel=C0123ABC',
      secrets: [],
      taken: [
        { statusCode: 200, body: '{"ok":true,"channel":"C0123ABC","ts":"1795446246.000100"}' },
      ],
      endings: [
        { statusCode: 200, body: slackError('token_revoked'), stops: 'integration' },
        { statusCode: 200, body: slackError('missing_scope'), stops: 'integration' },
        { statusCode: 200, body: slackError('is_archived'), stops: 'subscription' },
        { statusCode: 200, body: slackError('token_expired'), stops: 'token' },
      ],
    },
  ],
  wrongUrls: [
    {
      url: `https://hooks.slack.com.evil.test/services/T1/B1/${KEY_OF_URL}`,
      secrets: [KEY_OF_URL],
    },
    { url: `https://hooks.slack.com/commands/T1/B1/${KEY_OF_URL}`, secrets: [KEY_OF_URL] },
    { url: `https://example.com/?token=${KEY_OF_URL}`, secrets: [KEY_OF_URL] },
    { url: `https://slack.com/api/chat.postMessage?token=${KEY_OF_URL}`, secrets: [KEY_OF_URL] },
    { url: 'https://slack.com/api/chat.postMessage?channel=%23general', secrets: [] },
    { url: 'https://slack.com/api/chat.postMessage', secrets: [] },
  ],
  credentials: [
    { botToken: 'xoxb-1234567890-abcdefghijkl', signingSecret: '8f742231b10e8888abcd99yyyzzz85a5' },
  ],
  publicCredentials: ['botUserId'],
  wrongCredentials: [
    { botToken: 'xoxp-1234567890-abcdefghijkl' },
    { botToken: 'xapp-1-A012-1234567890-abcdef' },
    { refreshToken: 'xoxb-1234567890-abcdefghijkl' },
  ],
  configs: [{ approvers: ['U012AB3CD', 'W012AB3CD'] }, { approvers: [] }],
  wrongConfigs: [
    { approvers: 'U012AB3CD' },
    { approvers: ['ann'] },
    { approvers: ['u012ab3cd'] },
    { approvers: ['<@U012AB3CD>'] },
    { approvers: Array(101).fill('U012AB3CD') },
  ],
  maxBodyBytes: null,
  // A time in the reader's own zone calls nobody.
  harmful: /<!(?!date\^\d+\^[^<>]*>)|<@|<https?:\/\/evil/,
  inbound: null,
}

const TEAMS: ProviderSamples = {
  urls: [
    {
      url: WORKFLOW,
      secrets: [KEY_OF_URL, WORKFLOW_ID],
      taken: [
        { statusCode: 202, body: '' },
        { statusCode: 200, body: '' },
      ],
      endings: [
        {
          statusCode: 400,
          body: workflowError('WorkflowTriggerIsNotEnabled'),
          stops: 'subscription',
        },
        { statusCode: 404, body: workflowError('WorkflowNotFound'), stops: 'subscription' },
        {
          statusCode: 401,
          body: workflowError('DirectApiAuthorizationRequired'),
          stops: 'subscription',
        },
      ],
    },
  ],
  wrongUrls: [
    { url: `https://acme.webhook.office.com/webhookb2/${KEY_OF_URL}`, secrets: [KEY_OF_URL] },
    { url: WORKFLOW.replace('&sig=', '&x='), secrets: [KEY_OF_URL, WORKFLOW_ID] },
    { url: WORKFLOW.replace('.com:443', '.com.evil.test'), secrets: [KEY_OF_URL, WORKFLOW_ID] },
  ],
  credentials: [{ outgoingWebhookToken: TEAMS_TOKEN }],
  publicCredentials: [],
  wrongCredentials: [{ outgoingWebhookToken: 'not base64!' }, { outgoingWebhookToken: 'c2hvcnQ=' }],
  configs: [],
  wrongConfigs: [],
  maxBodyBytes: 28 * 1024,
  // Only entities ping in a card.
  harmful: /"entities":/,
  inbound: {
    secrets: { credentials: { outgoingWebhookToken: TEAMS_TOKEN }, signingSecrets: [] },
    makeBody: (nowMs) =>
      JSON.stringify({
        type: 'message',
        id: '1795446246000',
        timestamp: new Date(nowMs).toISOString(),
        text: '<at>Assistant</at> hello',
        from: { id: '29:1', aadObjectId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c09', name: 'Ann' },
        conversation: { id: '19:abc@thread.tacv2;messageid=1795446246000' },
      }),
    sign(rawBody, nowMs) {
      const hmac = createHmac('sha256', Buffer.from(TEAMS_TOKEN, 'base64')).update(rawBody)
      return { headers: { authorization: `HMAC ${hmac.digest('base64')}` }, rawBody, nowMs }
    },
  },
}

const DISCORD: ProviderSamples = {
  urls: [
    {
      url: `https://discord.com/api/webhooks/1234567890123456789/${KEY_OF_URL}`,
      secrets: [KEY_OF_URL],
      taken: [{ statusCode: 204, body: '' }],
      endings: [
        {
          statusCode: 404,
          body: '{"message":"Unknown Webhook","code":10015}',
          stops: 'subscription',
        },
      ],
    },
  ],
  wrongUrls: [
    { url: `https://discord.com/channels/1/${KEY_OF_URL}`, secrets: [KEY_OF_URL] },
    { url: `https://discord.com.evil.test/api/webhooks/1/${KEY_OF_URL}`, secrets: [KEY_OF_URL] },
  ],
  credentials: [],
  publicCredentials: [],
  wrongCredentials: [],
  configs: [],
  wrongConfigs: [],
  maxBodyBytes: 8 * 1024,
  harmful: /"allowed_mentions":\{"parse":\[[^\]]/,
  inbound: null,
}

const MCP: ProviderSamples = {
  // It takes no webhooks; a lane would be one like any other.
  urls: [
    {
      url: 'https://hooks.example.com/mcp',
      secrets: [],
      taken: [{ statusCode: 200, body: 'ok' }],
      endings: [],
    },
  ],
  wrongUrls: [],
  credentials: [{ token: 'a-token-of-the-server' }],
  publicCredentials: [],
  wrongCredentials: [],
  configs: [
    { url: 'https://mcp.example.com/mcp' },
    {
      url: 'https://mcp.example.com/{{credentials.token}}/mcp?region=eu',
      headers: { Authorization: 'Bearer {{credentials.token}}' },
      prefix: 'github',
      approval: 'auto',
      timeoutMs: 5000,
    },
  ],
  needsConfig: true,
  wrongConfigs: [
    {},
    { url: 'mcp.example.com' },
    { url: 'ftp://mcp.example.com/' },
    { url: 'https://{{credentials.host}}/mcp' },
    { url: 'https://mcp.example.com/{args.x}' },
    { url: 'https://mcp.example.com/{{config.url}}' },
    { url: 'https://mcp.example.com/', headers: { 'Mcp-Session-Id': 'x' } },
    { url: 'https://mcp.example.com/', headers: { Host: 'other.example.com' } },
    { url: 'https://mcp.example.com/', headers: { 'X-A': 'a\r\nb: c' } },
    { url: 'https://mcp.example.com/', headers: { 'X-A': '{{config.url}}' } },
    { url: 'https://mcp.example.com/', prefix: '1st' },
    { url: 'https://mcp.example.com/', prefix: 'a.b' },
    { url: 'https://mcp.example.com/', approval: 'never' },
    { url: 'https://mcp.example.com/', timeoutMs: 60_000 },
    { url: 'https://mcp.example.com/', command: 'npx' },
  ],
  maxBodyBytes: null,
  harmful: null,
  inbound: null,
}

const EVERY: readonly (readonly [string, Provider, ProviderSamples])[] = [
  ['generic-webhook', genericWebhook, GENERIC],
  ['internal-http', internalHttp, GENERIC],
  [
    'slack',
    makeSlack({ apiUrl: 'https://slack.com/api/', webhookHosts: ['hooks.slack.com'] }),
    SLACK,
  ],
  [
    'teams',
    makeTeams({ workflowHosts: ['*.environment.api.powerplatform.com', '*.logic.azure.com'] }),
    TEAMS,
  ],
  ['mcp', makeMcp(makeLookAtMcp('0.0.0')), MCP],
  // Of no product: a folder is all that it takes.
  ['discord-webhook', discordWebhook, DISCORD],
]

test('every folder of src/providers is here', () => {
  const folders = readdirSync(new URL('../../src/providers/', import.meta.url), {
    withFileTypes: true,
  })
  const keys = folders.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  expect(EVERY.map(([key]) => key)).toEqual(expect.arrayContaining(keys))
})

describe.each(EVERY)('the provider %s', (key, provider, samples) => {
  test('its key is its own', () => {
    expect(provider.manifest.key).toBe(key)
  })

  describeProvider(provider, samples)
})
