import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { addMember, openTestApi } from '../../../test/fixtures/api.ts'
import { ERAS, openMcpClient } from '../../../test/fixtures/mcp-client.ts'
import { textOf } from '../../../test/fixtures/mcp-world.ts'
import { openReceiver } from '../../../test/fixtures/receiver.ts'
import { makeLog } from '../../telemetry/log.ts'
import { listen } from '../listen.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())
const api = stack.use(await openTestApi({ CORS_ORIGINS: 'https://app.example.com' }))
const server = stack.use(await listen('127.0.0.1', 0, api.fetch, { log: makeLog('silent') }))
const hung: string[] = []
const endpoint = stack.use(
  await openReceiver((response, { url }) => {
    if (url === '/hang') response.on('close', () => hung.push(url))
    else if (url === '/broken') response.writeHead(500).end('out of paper')
    else response.writeHead(200, { 'content-type': 'application/json' }).end('{"key":"A-1"}')
  }),
)

const mine = await api.addOrgOf('me')
const theirs = await api.addOrgOf('they')
await addMember(api.database, mine.orgId, 'watcher', 'viewer')
const key = await makeKey(['org:tools:use'])
await defineTools()
beforeEach(() => {
  endpoint.requests.length = 0
})

async function makeKey(permissions: readonly string[]): Promise<string> {
  const { orgId, token } = mine
  const json = { name: 'MCP', permissions }
  return (await api.call('POST', `/orgs/${orgId}/api-keys`, { token, json })).body.key
}

async function defineTools(): Promise<void> {
  const post = async ({ orgId, token }: typeof mine, path: string, json: unknown) => {
    const answer = await api.call('POST', `/orgs/${orgId}${path}`, { token, json })
    expect([answer.status, answer.text]).toEqual([201, answer.text])
    return answer.body
  }
  const hooks = { providerKey: 'generic-webhook', name: 'Tools' }
  const argsSchema = {
    type: 'object',
    properties: { title: { type: 'string' } },
    required: ['title'],
  }
  const { integration } = await post(mine, '/integrations', hooks)
  const define = (name: string, path: string, more: object = {}) =>
    post(mine, `/integrations/${integration.id}/tools`, {
      name,
      description: 'Does it.',
      argsSchema,
      httpConfig: { method: 'POST', url: endpoint.url + path },
      ...more,
    })
  const outputSchema = { type: 'object', properties: { key: { type: 'string' } } }
  await define('jira.createIssue', '/issues', { outputSchema })
  await define('jira.broken', '/broken')
  await define('jira.hang', '/hang')
  await define('jira.off', '/issues', { isEnabled: false })
  const { integration: other } = await post(theirs, '/integrations', hooks)
  await post(theirs, `/integrations/${other.id}/tools`, {
    name: 'their.secret',
    description: 'Theirs.',
    argsSchema,
    httpConfig: { method: 'POST', url: endpoint.url },
  })
}

const urlOf = (orgId: string) => `${server.url}/orgs/${orgId}/mcp`
const open = (era: (typeof ERAS)[number], token = mine.token, orgId = mine.orgId) =>
  openMcpClient(urlOf(orgId), { era, token })
const CALL = { name: 'jira_createIssue', arguments: { title: 'Broken' } }

async function runsOf(tool: string) {
  const { rows } = await api.database.pool.query(
    `select id, source, user_id, outcome from patchbay.tool_runs where org_id = $1 and tool = $2 order by id`,
    [mine.orgId, tool],
  )
  return rows
}

describe.each(ERAS)('a client of %s', (era) => {
  test('finds the tools of its org, and no other', async () => {
    await using client = await open(era)
    expect(client.getNegotiatedProtocolVersion()).toBe(era)
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual([
      'clock_now',
      'conversation_search',
      'jira_broken',
      'jira_createIssue',
      'jira_hang',
    ])
  })

  test.each(['jira_createIssue', 'jira.createIssue'])(
    'runs %s, which is on record',
    async (name) => {
      await using client = await open(era)
      await client.listTools()
      const result = await client.callTool({ ...CALL, name })
      expect(textOf(result)).toBe('{"key":"A-1"}')
      expect(result.structuredContent).toEqual({ key: 'A-1' })
      expect(endpoint.requests).toHaveLength(1)
      const run = (await runsOf('jira.createIssue')).at(-1)
      expect(run).toMatchObject({ source: 'mcp', user_id: 'me', outcome: 'success' })
      expect(result._meta).toMatchObject({ 'patchbay/runId': run.id })
    },
  )

  test('is told what is wrong with its arguments, and calls nothing', async () => {
    await using client = await open(era)
    const result = await client.callTool({ name: 'jira_createIssue', arguments: { title: 1 } })
    expect(result.isError).toBe(true)
    expect(textOf(result)).toBe('args.title must be string')
    expect(endpoint.requests).toEqual([])
  })

  test('is told what a tool that failed said', async () => {
    await using client = await open(era)
    const result = await client.callTool({ ...CALL, name: 'jira_broken' })
    expect(result.isError).toBe(true)
    expect(textOf(result)).toContain('jira.broken failed: HTTP 500: out of paper')
    expect(textOf(result)).toContain((await runsOf('jira.broken')).at(-1).id)
  })

  test.each(['jira_off', 'their_secret', 'nothing'])('has no tool %s', async (name) => {
    await using client = await open(era)
    await expect(client.callTool({ ...CALL, name })).rejects.toMatchObject({ code: -32602 })
  })

  test('may be an API key, which sees what its permissions are for', async () => {
    await using client = await open(era, key)
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).not.toContain('conversation_search')
    const search = { name: 'conversation_search', arguments: { query: 'x' } }
    await expect(client.callTool(search)).rejects.toMatchObject({ code: -32602 })
    expect(textOf(await client.callTool(CALL))).toBe('{"key":"A-1"}')
  })

  test('gets nowhere without the permission, or in an org of others', async () => {
    await expect(open(era, await api.token('watcher'))).rejects.toThrow(/FORBIDDEN|403/)
    await expect(open(era, mine.token, theirs.orgId)).rejects.toThrow(/NOT_FOUND|404/)
    await expect(open(era, 'x')).rejects.toThrow()
  })

  test('that goes away ends its call', async () => {
    await using client = await open(era)
    hung.length = 0
    const failed = expect(client.callTool({ ...CALL, name: 'jira_hang' })).rejects.toThrow()
    await expect.poll(() => endpoint.requests.length).toBe(1)
    await client.close()
    await failed
    await expect.poll(() => hung).toEqual(['/hang'])
  })
})

describe('a plain request', () => {
  const ACCEPT = { accept: 'application/json, text/event-stream' }
  const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list' }
  const META = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const MODERN = { ...LIST, params: { _meta: META } }
  const HEADERS = { ...ACCEPT, 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' }

  const ask = (request: Parameters<typeof api.call>[2], method = 'POST') =>
    api.call(method, `/orgs/${mine.orgId}/mcp`, { token: mine.token, ...request })

  test('of 2026 is answered in JSON, with how long its list holds', async () => {
    const { status, body, headers } = await ask({ json: MODERN, headers: HEADERS })
    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('application/json')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(body.result).toMatchObject({ ttlMs: 60_000, cacheScope: 'private' })
  })

  test.each(['GET', 'DELETE'])('%s is no method of it', async (method) => {
    const { status, body, headers } = await ask({}, method)
    expect({ status, body }).toMatchObject({ status: 405, body: { error: { code: -32000 } } })
    expect(headers.get('allow')).toBe('POST')
  })

  test.each([
    ['that takes no stream', LIST, { accept: 'application/json' }, 406, -32000],
    ['of 2026 that says nothing in its headers', MODERN, ACCEPT, 400, -32020],
    [
      'of 2026 with another method in its header',
      MODERN,
      { ...HEADERS, 'mcp-method': 'x' },
      400,
      -32020,
    ],
    [
      'of a protocol nobody knows',
      {
        ...LIST,
        params: { _meta: { ...META, 'io.modelcontextprotocol/protocolVersion': '2099-01-01' } },
      },
      { ...HEADERS, 'mcp-protocol-version': '2099-01-01' },
      400,
      -32022,
    ],
    [
      'for what is not there',
      { ...MODERN, method: 'x/y' },
      { ...HEADERS, 'mcp-method': 'x/y' },
      404,
      -32601,
    ],
    ['that is a batch', [LIST, LIST], ACCEPT, 400, -32600],
  ])('%s is refused', async (_, json, headers, status, code) => {
    const answer = await ask({ json, headers })
    expect({ status: answer.status, body: answer.body }).toMatchObject({
      status,
      body: { jsonrpc: '2.0', error: { code } },
    })
  })

  test.each([
    [
      'over 1 MiB',
      { json: { ...LIST, params: { x: 'x'.repeat(1_100_000) } } },
      413,
      'PAYLOAD_TOO_LARGE',
    ],
    [
      'that is no JSON',
      { text: '{', headers: { 'content-type': 'application/json' } },
      400,
      'INVALID_BODY',
    ],
    [
      'of another type',
      { text: 'x', headers: { 'content-type': 'text/plain' } },
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    ['without a token', { json: LIST, token: undefined }, 401, 'UNAUTHENTICATED'],
    [
      'of a page nobody knows',
      { json: LIST, headers: { origin: 'https://evil.example' } },
      403,
      'FORBIDDEN',
    ],
    ['of a page without an origin', { json: LIST, headers: { origin: 'null' } }, 403, 'FORBIDDEN'],
    [
      'of a page on this machine',
      { json: LIST, headers: { origin: 'http://localhost', host: 'localhost' } },
      403,
      'FORBIDDEN',
    ],
  ])('%s is a problem like everywhere', async (_, request, status, error) => {
    const answer = await ask(request)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.body).toMatchObject({ status, error })
  })

  test.each(['https://app.example.com', 'https://patchbay.example.com'])(
    'of a page of %s is answered',
    async (origin) => {
      const { status } = await ask({ json: MODERN, headers: { ...HEADERS, origin } })
      expect(status).toBe(200)
    },
  )

  test('without a body is answered, too', async () => {
    expect(await ask({ headers: { ...ACCEPT, 'content-type': 'application/json' } })).toMatchObject(
      {
        status: 400,
        body: { error: { code: -32700 } },
      },
    )
  })

  test('of a stranger is told of an org what it is told of none', async () => {
    const { token } = theirs
    const [there, nowhere] = await Promise.all(
      [mine.orgId, 'never-existed'].map((orgId) =>
        api.call('POST', `/orgs/${orgId}/mcp`, { token, json: MODERN, headers: HEADERS }),
      ),
    )
    expect(there).toMatchObject({ status: 404, body: { detail: nowhere?.body.detail } })
    expect(nowhere?.status).toBe(404)
  })

  test('is one of the many that a principal may send in a minute', async () => {
    await using limited = await openTestApi({ RATE_LIMIT_PRINCIPAL: '2' })
    const { orgId, token } = await limited.addOrgOf('me')
    const send = () =>
      limited.call('POST', `/orgs/${orgId}/mcp`, { token, json: MODERN, headers: HEADERS })
    expect([(await send()).status, (await send()).status]).toEqual([200, 200])
    expect(await send()).toMatchObject({ status: 429, body: { error: 'RATE_LIMITED' } })
  })
})

describe('where tokens are to be had', () => {
  const wellKnown = (orgId: string) => `/.well-known/oauth-protected-resource/orgs/${orgId}/mcp`

  test('is told to who has none, and the same of every org', async () => {
    await using other = await openTestApi({ AUTH_ISSUER: 'https://id.example.com' })
    const { orgId } = await other.addOrgOf('me')
    for (const id of [orgId, 'never-existed']) {
      const { status, body } = await other.call('GET', wellKnown(id))
      expect(status).toBe(200)
      expect(body).toEqual({
        resource: `https://patchbay.example.com/orgs/${id}/mcp`,
        resource_name: 'Patchbay: tools of an organization',
        authorization_servers: ['https://id.example.com'],
        bearer_methods_supported: ['header'],
      })
      const url = `https://patchbay.example.com${wellKnown(id)}`
      const asked = await other.call('POST', `/orgs/${id}/mcp`, { json: {} })
      expect(asked.headers.get('www-authenticate')).toBe(`Bearer resource_metadata="${url}"`)
      const refused = await other.call('POST', `/orgs/${id}/mcp`, { token: 'x', json: {} })
      expect(refused.headers.get('www-authenticate')).toBe(
        `Bearer error="invalid_token", resource_metadata="${url}"`,
      )
    }
    expect((await other.call('GET', wellKnown('a%22b'))).status).toBe(404)
    const odd = await other.call('POST', '/orgs/a%22b/mcp', { json: {} })
    expect(odd.headers.get('www-authenticate')).toBe('Bearer')
  })

  test('is told to nobody where no issuer is configured', async () => {
    expect((await api.call('GET', wellKnown(mine.orgId))).status).toBe(404)
    const { headers } = await api.call('POST', `/orgs/${mine.orgId}/mcp`, { json: {} })
    expect(headers.get('www-authenticate')).toBe('Bearer')
  })
})

test('nothing broke inside', async () => {
  // What is logged of calls that ended early is logged a moment later.
  await sleep(50)
  expect(api.broken).toEqual([])
})
