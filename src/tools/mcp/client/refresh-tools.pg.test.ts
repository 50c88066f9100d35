import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { echoTool, openMcp } from '../../../../test/doubles/mcp.ts'
import { openTestApi } from '../../../../test/fixtures/api.ts'
import { pets } from '../../../../test/fixtures/import-org.ts'
import { makeMcpInstalls } from '../../../../test/fixtures/mcp-installs.ts'

const api = await openTestApi()
const server = await openMcp()
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})
afterEach(() => {
  Object.assign(server, { tools: [], page: null, misbehave: null, token: null })
})
const { install, refresh, catalogOf, patchTool, integrationOf } = makeMcpInstalls(api, server)

test('a document is not imported among the tools of a server', async () => {
  const { path, token } = await install()
  const openapi = { openapi: '3.1.0', info: { title: 'T', version: '1' }, paths: {} }
  const answer = await api.call('POST', `${path}/tools/import`, { token, json: { openapi } })
  expect(answer).toMatchObject({ status: 422, body: { error: 'UNPROCESSABLE' } })
  expect(answer.body.detail).toContain('make an integration of generic-webhook')
})

describe('a server that cannot be read', () => {
  test.each([
    ['breaks', 502, 'TOOL_FAILED', /HTTP 500/],
    ['lists nothing any more', 502, 'TOOL_FAILED', /believed when it says so three times/],
  ])('where it %s the tools stay as they were', async (what, status, error, detail) => {
    server.tools = [echoTool('say')]
    const mine = await install({ prefix: 'gh' })
    await refresh(mine)
    server.tools = []
    if (what === 'breaks') server.misbehave = (response) => response.writeHead(500).end('no')
    const refused = await refresh(mine)
    expect(refused).toMatchObject({ status, body: { error } })
    expect(refused.body.detail).toMatch(detail)
    expect(await catalogOf(mine)).toEqual(['gh.say'])
  })

  test('is believed that it has no tools when it has said so three times', async () => {
    server.tools = [echoTool('say')]
    const mine = await install({ prefix: 'gh' })
    await refresh(mine)
    server.tools = []
    expect((await refresh(mine)).status).toBe(502)
    expect((await refresh(mine)).status).toBe(502)
    expect(await refresh(mine)).toMatchObject({ status: 200, body: { removed: ['gh.say'] } })
    expect(await catalogOf(mine)).toEqual([])
  })

  test('is told of at the third time, once, and no more when it is mended', async () => {
    server.tools = [echoTool('say')]
    const mine = await install({ prefix: 'gh' })
    await refresh(mine)
    server.misbehave = (response) => response.writeHead(503).end('closed')
    const seen: string[] = []
    for (let time = 0; time < 4; time += 1) {
      await refresh(mine)
      seen.push((await integrationOf(mine)).status)
    }
    expect(seen).toEqual(['connected', 'connected', 'needs_attention', 'needs_attention'])
    expect((await integrationOf(mine)).statusDetail).toContain('HTTP 503: closed')
    const { rows } = await api.database.pool.query(
      "select data from patchbay.outbox_events where org_id = $1 and type = 'integration.needs_attention'",
      [mine.orgId],
    )
    expect(rows).toMatchObject([{ data: { integrationId: mine.id, providerKey: 'mcp' } }])
    server.misbehave = null
    await refresh(mine)
    expect(await integrationOf(mine)).toMatchObject({ status: 'connected', statusDetail: null })
  })

  test('is told of at once where it was never read', async () => {
    server.token = 't-very-secret'
    const mine = await install()
    expect(await refresh(mine)).toMatchObject({ status: 502 })
    expect(await integrationOf(mine)).toMatchObject({
      status: 'needs_attention',
      statusDetail: expect.stringContaining('refused its credentials (HTTP 401)'),
    })
    await api.call('PATCH', mine.path, { token: mine.token, json: { credentials: { a: 'bcde' } } })
    expect(await integrationOf(mine)).toMatchObject({ status: 'connected' })
  })
})

describe('what cannot be', () => {
  test.each([
    ['a private address', { url: 'http://10.0.0.1/mcp' }, 'config.url'],
    ['a metadata service', { url: 'http://169.254.169.254/latest' }, 'config.url'],
    ['a name of the network', { url: 'https://db.internal/mcp' }, 'config.url'],
    ['no URL', {}, 'config.url'],
    ['a header of the protocol', { headers: { 'Mcp-Name': 'x' } }, 'config.headers.Mcp-Name'],
    ['a command', { command: 'npx' }, 'config'],
  ])('%s as a config is refused by name', async (what, config, field) => {
    const { orgId, token } = await api.addOrgOf('me')
    const own = what === 'no URL' ? config : { url: server.url, ...config }
    const json = { providerKey: 'mcp', name: 'x', config: own }
    const refused = await api.call('POST', `/orgs/${orgId}/integrations`, { token, json })
    expect(refused).toMatchObject({ status: 400, body: { error: 'INVALID_BODY' } })
    expect(refused.body.details[0].path).toBe(field)
  })

  test('a tool by hand is refused, and says where tools come from', async () => {
    server.tools = [echoTool('say')]
    const mine = await install()
    const httpConfig = { method: 'GET', url: 'https://example.com/' }
    const json = { name: 'x', description: 'x', argsSchema: { type: 'object' }, httpConfig }
    const refused = await api.call('POST', `${mine.path}/tools`, { token: mine.token, json })
    expect(refused).toMatchObject({ status: 422 })
    expect(refused.body.detail).toContain('tools/refresh')
    const imported = await api.call('POST', `${mine.path}/tools/import`, {
      token: mine.token,
      json: { openapi: pets(), dryRun: true },
    })
    expect(imported).toMatchObject({ status: 422, body: { detail: refused.body.detail } })
    await refresh(mine)
    expect(await patchTool(mine, 'git_hub.say', { httpConfig })).toMatchObject({
      status: 400,
      body: { details: [{ path: 'httpConfig' }] },
    })
  })

  test('a credential of another integration cannot be named', async () => {
    server.tools = [echoTool('say')]
    const other = await install({}, { credentials: { token: 't-very-secret' } })
    const json = {
      providerKey: 'mcp',
      name: 'thief',
      config: { url: server.url, headers: { 'X-T': '{{credentials.token}}' } },
    }
    const { token, org } = other
    const { body } = await api.call('POST', `${org}/integrations`, { token, json })
    const before = server.requests.length
    const path = `${org}/integrations/${body.integration.id}`
    const refused = await api.call('POST', `${path}/tools/refresh`, { token })
    expect(refused).toMatchObject({ status: 502 })
    expect(refused.body.detail).toContain('has no credentials.token')
    expect(server.requests.length).toBe(before)
  })

  test('a secret for signatures that nobody sends', async () => {
    const { org, token, path } = await install()
    const json = { providerKey: 'mcp', name: 'x', config: { url: server.url } }
    const { body } = await api.call('POST', `${org}/integrations`, { token, json })
    expect(body).not.toHaveProperty('toolSecret')
    expect(await api.call('POST', `${path}/rotate-tool-secret`, { token, json: {} })).toMatchObject(
      { status: 422 },
    )
  })

  test('a webhook to a server of tools', async () => {
    const mine = await install()
    const json = { url: 'https://example.com/', eventTypes: ['*'] }
    const refused = await api.call('POST', `${mine.path}/webhooks`, { token: mine.token, json })
    expect(refused).toMatchObject({ status: 400, body: { details: [{ path: 'url' }] } })
  })

  test('reading another kind of integration, a disabled one, or another org’s', async () => {
    const mine = await install()
    const { token, org } = mine
    const json = { providerKey: 'generic-webhook', name: 'x' }
    const { body } = await api.call('POST', `${org}/integrations`, { token, json })
    const path = `${org}/integrations/${body.integration.id}`
    expect(await refresh({ ...mine, path })).toMatchObject({ status: 422 })
    await api.call('PATCH', mine.path, { token, json: { isEnabled: false } })
    expect(await refresh(mine)).toMatchObject({ status: 422 })
    const stranger = await api.addOrgOf('stranger')
    const theirs = `/orgs/${stranger.orgId}/integrations/${mine.id}`
    expect(await refresh({ ...mine, path: theirs, token: stranger.token })).toMatchObject({
      status: 404,
    })
    expect(await refresh({ ...mine, token: stranger.token })).toMatchObject({ status: 404 })
  })
})
