import { afterAll, expect, test } from 'vitest'
import { openTestApi } from '../../test/fixtures/api.ts'

const api = await openTestApi()
afterAll(() => api[Symbol.asyncDispose]())
const { orgId, token } = await api.addOrgOf('me')
const org = `/orgs/${orgId}`
const made = await api.call('POST', `${org}/integrations`, {
  token,
  json: { providerKey: 'generic-webhook', name: 'Hooks' },
})
const integration = `${org}/integrations/${made.body.integration.id}`
const started = await api.call('POST', `${org}/conversations`, { token, json: {} })
const turns = `${org}/conversations/${started.body.conversation.id}/turns`

/** What Postgres' text cannot hold, and what its jsonb cannot. */
const NUL = 'a\u0000b'
const HALF = 'a\ud800b'
const hook = { url: 'https://hooks.example.com/', eventTypes: ['*'] }
const http = { method: 'GET', url: 'https://hooks.example.com/' }
const tool = { description: 'd', argsSchema: { type: 'object' }, httpConfig: http }
const app = { providerKey: 'generic-webhook', name: 'Odd' }
const key = { 'idempotency-key': 'k' }

test.each<[string, string, unknown, Record<string, string>?]>([
  ['POST', '/orgs/%zz/events', { type: 'a', data: {} }, key],
  ['POST', '/orgs/%00/events', { type: 'a', data: {} }, key],
  ['POST', '/orgs/%zz/events', { type: 'a', data: {} }],
  ['GET', '/orgs/%00/events', undefined],
  ['GET', '/tools?orgId=a%00b', undefined],
  ['PUT', `${org}/members/a%00b`, { role: 'member' }],
  ['DELETE', `${org}/members/a%00b`, undefined],
  ['POST', `${org}/tools/a%00b/execute`, { args: {} }],
  ['GET', `${org}/events?conversationId=a%00b`, undefined],
  ['GET', `${org}/tool-runs?tool=a%00b`, undefined],
  ['GET', `${org}/tool-runs?conversationId=a%00b`, undefined],
  ['GET', `${org}/tool-runs?source=a%00b`, undefined],
  ['POST', `${org}/events`, { type: 'a', data: {}, conversationId: NUL }],
  ['POST', `${org}/events`, { type: 'a', data: {}, occurredAt: '0000-01-01T00:00:00Z' }],
  ['POST', `${org}/integrations`, { ...app, name: NUL }],
  ['POST', `${org}/integrations`, { ...app, config: { a: NUL } }],
  ['POST', `${org}/integrations`, { ...app, config: { a: HALF } }],
  ['PATCH', integration, { name: NUL }],
  ['PATCH', integration, { config: { a: NUL } }],
  ['POST', `${integration}/webhooks`, { ...hook, description: NUL }],
  ['POST', `${integration}/tools`, { ...tool, name: 'a', description: NUL }],
  [
    'POST',
    `${integration}/tools`,
    { ...tool, name: 'b', argsSchema: { type: 'object', title: NUL } },
  ],
  [
    'POST',
    `${integration}/tools`,
    { ...tool, name: 'c', argsSchema: { type: 'object', title: HALF } },
  ],
  [
    'POST',
    `${integration}/tools`,
    { ...tool, name: 'd', httpConfig: { ...http, query: { a: NUL } } },
  ],
  ['POST', `${org}/tools/clock.now/execute`, { args: {}, conversationId: NUL }],
  ['POST', `${org}/conversations`, { title: NUL }],
  ['POST', turns, { content: NUL }],
])(
  '%s %s refuses %j: it is the caller who is told, and nothing breaks',
  async (method, path, json, headers = {}) => {
    const before = api.broken.length
    const { status } = await api.call(method, path, { token, json, headers })
    expect({ status, broken: api.broken.slice(before) }).toEqual({
      status: expect.toSatisfy((code: number) => code === 400 || code === 404),
      broken: [],
    })
  },
)

test.each<[string, string, unknown]>([
  ['POST', `${org}/events`, { type: 'a', data: { text: NUL } }],
  ['POST', `${org}/events`, { type: 'a', data: { text: HALF } }],
  ['GET', `${org}/events?since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z`, undefined],
  ['GET', `${org}/deliveries?until=1960-01-01T00:00:00Z`, undefined],
  ['GET', `${org}/tool-runs?since=0000-01-01T00:00:00Z&until=9999-12-31T23:59:59Z`, undefined],
  [
    'POST',
    `${org}/tools/conversation.search/execute`,
    { args: { query: '%_\\' }, conversationId: 'no uuid' },
  ],
  ['POST', turns, { content: 'x'.repeat(32_000) }],
  ['POST', turns, { content: '\u0001'.repeat(32_000) }],
  ['POST', turns, { content: HALF }],
])('%s %s takes what is odd, and yet text', async (method, path, json) => {
  const before = api.broken.length
  const { status } = await api.call(method, path, { token, json })
  expect(api.broken.slice(before)).toEqual([])
  expect(status).toBeLessThan(300)
})

test.each<[string, unknown, number]>([
  ['clock.now', { timeZone: 'Nowhere/None' }, 502],
  ['clock.now', { timeZone: NUL }, 502],
])('%s of %j is answered %i with the run that failed', async (name, args, status) => {
  const answer = await api.call('POST', `${org}/tools/${name}/execute`, { token, json: { args } })
  expect(answer).toMatchObject({
    status,
    body: { error: 'TOOL_FAILED', runId: expect.any(String) },
  })
})

test.each([
  ['a search', `use conversation.search {"query":"a\\u0000b"}`],
  ['a tool', `use clock.now {"timeZone":"a\\u0000b"}`],
])('%s for odd text in a turn does not break the turn', async (_, content) => {
  expect(await api.call('POST', turns, { token, json: { content } })).toMatchObject({ status: 200 })
})
