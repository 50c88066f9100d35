import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { echoTool, openMcp } from '../../../../test/doubles/mcp.ts'
import { openTestApi } from '../../../../test/fixtures/api.ts'
import { makeMcpInstalls } from '../../../../test/fixtures/mcp-installs.ts'

const api = await openTestApi({ TOOLS_PER_ORG: '300' })
const server = await openMcp()
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})
afterEach(() => {
  Object.assign(server, { tools: [], page: null, misbehave: null, token: null })
})
const { install, refresh, toolsOf, catalogOf, patchTool, auditOf } = makeMcpInstalls(api, server)

test('what a server offers is listed, prefixed, asks, and is run there', async () => {
  server.tools = [echoTool('create_issue'), echoTool('a b')]
  server.token = 't-very-secret'
  const headers = { Authorization: 'Bearer {{credentials.token}}' }
  const mine = await install({ headers }, { credentials: { token: 't-very-secret' } })
  expect(await refresh(mine)).toMatchObject({
    status: 200,
    body: {
      tools: 2,
      added: ['git_hub.create_issue', 'git_hub.a_b'],
      changed: [],
      removed: [],
      skipped: [],
    },
  })
  expect(await toolsOf(mine)).toMatchObject([
    {
      name: 'git_hub.a_b',
      wireName: 'git_hub_a_b',
      sourceKey: 'a b',
      httpConfig: null,
      approval: 'ask',
      description: 'Described by its MCP server: Says back what it was given (a b)',
    },
    { name: 'git_hub.create_issue', isEnabled: true },
  ])
  expect(await catalogOf(mine)).toEqual(['git_hub.a_b', 'git_hub.create_issue'])
  await patchTool(mine, 'git_hub.a_b', { approval: 'auto' })
  const ran = await api.call('POST', `${mine.org}/tools/git_hub_a_b/execute`, {
    token: mine.token,
    json: { args: { text: 'hello t-very-secret' } },
  })
  expect(ran).toMatchObject({ status: 200, body: { result: '{"text":"hello [secret]"}' } })
  expect(server.requests.at(-1)?.headers['idempotency-key']).toBe(ran.body.runId)
  const [tool] = await toolsOf(mine)
  const json = { args: { text: 'hello t-very-secret' } }
  const path = `${mine.path}/tools/${tool.id}/test`
  const tried = await api.call('POST', path, { token: mine.token, json })
  const { rows } = await api.database.pool.query(
    'select tool, outcome, integration_id, host, arguments from patchbay.tool_runs where id = any ($1)',
    [[ran.body.runId, tried.body.runId]],
  )
  const run = {
    tool: 'git_hub.a_b',
    outcome: 'success',
    integration_id: mine.id,
    host: new URL(server.url).host,
    arguments: { text: 'hello [secret]' },
  }
  expect(rows).toEqual([run, run])
})

test('a reading says what is different, and who asked is in the audit log', async () => {
  server.tools = [echoTool('stays'), echoTool('goes'), echoTool('turns')]
  const mine = await install({ prefix: 'gh' })
  await refresh(mine)
  await patchTool(mine, 'gh.turns', { approval: 'auto' })
  server.tools = [
    echoTool('stays'),
    echoTool('comes'),
    echoTool('turns', { description: 'Now evil' }),
  ]
  expect((await refresh(mine)).body).toMatchObject({
    tools: 3,
    added: ['gh.comes'],
    changed: ['gh.turns'],
    removed: ['gh.goes'],
  })
  expect(await catalogOf(mine)).toEqual(['gh.comes', 'gh.stays', 'gh.turns'])
  expect(await toolsOf(mine)).toMatchObject([
    { name: 'gh.comes' },
    { name: 'gh.goes', isEnabled: false },
    { name: 'gh.stays' },
    { name: 'gh.turns', approval: 'ask', description: expect.stringMatching(/Now evil$/) },
  ])
  expect(await auditOf(mine, 'tool.changed_at_source')).toMatchObject([
    { principal_id: 'me', detail: { name: 'gh.turns', approval: 'ask' } },
  ])
  expect(await auditOf(mine, 'tools.read')).toMatchObject([
    { target: mine.id, detail: { added: ['gh.goes', 'gh.stays', 'gh.turns'] } },
    { detail: { added: ['gh.comes'], changed: ['gh.turns'], removed: ['gh.goes'] } },
  ])
  // The same again is nothing new.
  expect((await refresh(mine)).body).toMatchObject({ added: [], changed: [], removed: [] })
  expect(await auditOf(mine, 'tools.read')).toHaveLength(2)
})

test('a tool that comes back is enabled again, unless a person had disabled it', async () => {
  const both = [echoTool('one'), echoTool('two')]
  server.tools = [...both, echoTool('three')]
  const mine = await install({ prefix: 'gh' })
  await refresh(mine)
  await patchTool(mine, 'gh.two', { isEnabled: false })
  server.tools = [echoTool('three')]
  await refresh(mine)
  expect(await catalogOf(mine)).toEqual(['gh.three'])
  server.tools = both
  await refresh(mine)
  expect(await catalogOf(mine)).toEqual(['gh.one'])
})

test('what a person changed stays theirs', async () => {
  server.tools = [echoTool('say')]
  const mine = await install({ prefix: 'gh' })
  await refresh(mine)
  await patchTool(mine, 'gh.say', { name: 'speak', description: 'In our words' })
  server.tools = [echoTool('say', { description: 'In their words' })]
  await refresh(mine)
  expect(await toolsOf(mine)).toMatchObject([{ name: 'speak', description: 'In our words' }])
})

describe('how much a server may bring', () => {
  test('of 5,000 tools the first come, in the order of their names or as they are there', async () => {
    const tools = Array.from({ length: 5000 }, (_, at) => ({
      name: `t${String(at).padStart(4, '0')}`,
      inputSchema: { type: 'object' as const },
    }))
    server.page = () => ({ tools })
    const mine = await install({ prefix: 'gh' })
    const { body } = await refresh(mine)
    expect(body).toMatchObject({ tools: 250, skipped: [{ name: '4750 more' }] })
    server.page = () => ({ tools: tools.toReversed() })
    expect((await refresh(mine)).body).toMatchObject({ added: [], removed: [] })
  })

  test('the org’s own limit holds', async () => {
    server.tools = [echoTool('say')]
    const mine = await install()
    await api.database.pool.query(
      `insert into patchbay.external_tool_definitions
         (org_id, integration_id, name, wire_name, description, args_schema, http_config)
       select $1, $2, 'n' || n, 'n' || n, 'x', '{"type":"object"}', '{"method":"GET","url":"https://example.com/"}'
       from generate_series(1, 300) as n`,
      [mine.orgId, mine.id],
    )
    expect((await refresh(mine)).body).toMatchObject({ tools: 0, skipped: [{ name: 'say' }] })
  })
})

test('verify shakes hands, counts, and says what is wrong', async () => {
  server.tools = [echoTool('say'), echoTool('do')]
  const mine = await install()
  const verify = () => api.call('POST', `${mine.path}/verify`, { token: mine.token })
  expect(await verify()).toMatchObject({
    status: 200,
    body: {
      ok: true,
      detail: 'The server answered with protocol version 2026-07-28 and lists 2 tools.',
    },
  })
  expect(await toolsOf(mine)).toEqual([])
  server.token = 'other'
  expect((await verify()).body).toMatchObject({
    ok: false,
    detail: expect.stringContaining('HTTP 401'),
  })
})
