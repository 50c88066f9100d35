import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { echoTool, methodOf, openMcp } from '../../../../test/doubles/mcp.ts'
import { mcpHost, openOurMcpClient } from '../../../../test/fixtures/our-mcp-client.ts'
import type { EndpointVerdict } from '../../circuit.ts'

const client = openOurMcpClient()
const { call, called, list } = client
const modern = await openMcp()
const streaming = await openMcp({ responseMode: 'sse' })
const old = await openMcp({ era: '2025' })
afterAll(async () => {
  for (const each of [modern, streaming, old, client]) await each[Symbol.asyncDispose]()
})
const servers = [
  ['both eras', modern],
  ['streams', streaming],
  ['2025 with sessions', old],
] as const
afterEach(() => {
  for (const [, server] of servers) {
    Object.assign(server, { tools: [], page: null, misbehave: null, token: null })
  }
})

describe.each(servers)('a server of %s', (_, server) => {
  test('lists its tools, and none of its sessions is left open', async () => {
    server.tools = [echoTool('say'), echoTool('a b/c')]
    expect(await list(server)).toMatchObject({
      ok: true,
      value: { tools: [{ name: 'say' }, { name: 'a b/c' }] },
      protocolVersion: server === old ? '2025-11-25' : '2026-07-28',
    })
    expect(server.sessions.size).toBe(0)
  })

  test('runs a tool by its own name', async () => {
    server.tools = [echoTool('a b/c')]
    const called = await call(server, { name: 'a b/c', args: { text: 'Grüße 漢字' } })
    expect(called).toEqual({ outcome: 'success', result: '{"text":"Grüße 漢字"}', error: null })
    expect(server.sessions.size).toBe(0)
  })

  test('says with what credentials it is called, and the run with the call alone', async () => {
    server.tools = [echoTool('say')]
    server.token = 't-very-secret'
    const before = server.requests.length
    const host = mcpHost(server, {
      config: { url: server.url, headers: { Authorization: 'Bearer {{credentials.token}}' } },
      credentials: { token: 't-very-secret' },
    })
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    expect(await call(server, { host, traceparent })).toMatchObject({ outcome: 'success' })
    for (const request of server.requests.slice(before)) {
      const isCall = methodOf(request) === 'tools/call'
      expect(request.headers['user-agent']).toBe('Patchbay/test')
      expect(request.headers['idempotency-key']).toBe(isCall ? 'run-1' : undefined)
      expect(request.headers.traceparent).toBe(isCall ? traceparent : undefined)
    }
  })

  test('has no credential in its list that it says back', async () => {
    server.tools = [echoTool('say', { description: 'Use t-very-secret', title: 't-very-secret' })]
    const listed = await list(server, { credentials: { token: 't-very-secret' } })
    expect(listed.ok).toBe(true)
    expect(JSON.stringify(listed)).not.toContain('t-very-secret')
  })

  test('that refuses the credentials is not asked who else could let us in', async () => {
    server.token = 't-very-secret'
    const before = server.requests.length
    expect(await call(server)).toEqual({
      outcome: 'error',
      result: null,
      error: 'the server refused its credentials (HTTP 401)',
    })
    expect(server.requests.slice(before).map(({ url }) => url)).toEqual(['/mcp'])
  })

  test('that says that the tool failed is an error in its words', async () => {
    server.tools = [
      {
        ...echoTool('say'),
        run: () => ({ isError: true, content: [{ type: 'text', text: 'No such issue' }] }),
      },
    ]
    expect(await call(server)).toEqual({ outcome: 'error', result: null, error: 'No such issue' })
  })

  test('that lists what is no tool has its others listed all the same', async () => {
    const inputSchema = { type: 'string' }
    const odd = { ...echoTool('odd'), definition: { ...echoTool('odd').definition, inputSchema } }
    server.tools = [Object.assign(odd), echoTool('say')]
    expect(await list(server)).toMatchObject({
      ok: true,
      value: { tools: [{ name: 'odd', inputSchema }, { name: 'say' }] },
    })
  })

  test('that pages gets each page asked once', async () => {
    server.page = (cursor) => {
      const at = Number(cursor ?? 0)
      const tools = [echoTool(`tool${at}`).definition]
      return at === 2 ? { tools } : { tools, nextCursor: String(at + 1) }
    }
    expect(await list(server)).toMatchObject({
      value: { tools: [{ name: 'tool0' }, { name: 'tool1' }, { name: 'tool2' }] },
    })
  })

  test('that pages for ever is left', async () => {
    let at = 0
    server.page = () => {
      at += 1
      return { tools: [], nextCursor: String(at) }
    }
    expect(await list(server)).toEqual({
      ok: false,
      failure: { outcome: 'error', reason: 'its list of tools has no end' },
    })
    expect(at).toBeLessThanOrEqual(50)
  })
})

describe('what comes back', () => {
  const answering = (content: object) => ({
    ...echoTool('say'),
    run: () => ({ content: [], ...content }),
  })

  test('is the structured content where there is some', async () => {
    modern.tools = [answering({ structuredContent: { id: 7 }, content: [text('{"id":7}')] })]
    expect(await call(modern)).toMatchObject({ outcome: 'success', result: { id: 7 } })
  })

  test('is text otherwise, with bytes named and left out', async () => {
    const data = Buffer.alloc(9000).toString('base64')
    modern.tools = [
      answering({
        content: [
          text('Two lines'),
          { type: 'image', mimeType: 'image/png', data },
          { type: 'resource', resource: { uri: 'file:///a.txt', text: 'of a file' } },
          { type: 'resource', resource: { uri: 'file:///b.bin', blob: data } },
          { type: 'resource_link', name: 'more', uri: 'https://example.com/more' },
        ],
      }),
    ]
    expect(await call(modern)).toMatchObject({
      result: [
        'Two lines',
        '[image image/png, 9 kB, left out]',
        'of a file',
        '[resource file:///b.bin, 9 kB, left out]',
        '[link to more: https://example.com/more]',
      ].join('\n'),
    })
  })

  test('is nothing where nothing came', async () => {
    modern.tools = [answering({})]
    expect(await call(modern)).toEqual({ outcome: 'success', result: null, error: null })
  })

  test.each([
    ['text', { content: [text('Bearer t-very-secret, {"a":1}')] }],
    ['structured content', { structuredContent: { echo: ['Bearer t-very-secret'] } }],
    ['an error', { isError: true, content: [text('no: t-very-secret')] }],
  ])('has no credential in it that a server echoes: %s', async (_, content) => {
    modern.tools = [answering(content)]
    const credentials = { token: 't-very-secret' }
    const called = await call(modern, { host: mcpHost(modern, { credentials }) })
    expect(JSON.stringify(called)).not.toContain('very-secret')
    expect(JSON.stringify(called)).toContain('[secret]')
  })
})

function text(given: string) {
  return { type: 'text' as const, text: given }
}

test('a private address is not called', async () => {
  for (const url of ['http://10.0.0.1/mcp', 'http://169.254.169.254/', 'http://[::1]/mcp']) {
    const called = await call({ ...modern, url }, {})
    expect(called).toMatchObject({ outcome: 'blocked', error: expect.stringContaining('the URL') })
  }
})

test('a host that is not on the org’s own list is not called', async () => {
  const domains = ['example.com']
  const called = await call(modern, { host: mcpHost(modern, { domains }) })
  expect(called.outcome).toBe('blocked')
})

test('a credential that the integration does not have is named, and nothing is sent', async () => {
  const before = modern.requests.length
  const config = { url: modern.url, headers: { Authorization: 'Bearer {{credentials.other}}' } }
  const called = await call(modern, { host: mcpHost(modern, { config }) })
  expect(called.error).toBe('the integration has no credentials.other')
  expect(modern.requests.length).toBe(before)
})

test('a credential that would frame a header is refused, and nothing is sent', async () => {
  const before = modern.requests.length
  const config = { url: modern.url, headers: { Authorization: '{{credentials.token}}' } }
  const host = mcpHost(modern, { config, credentials: { token: 'a\r\nx: y' } })
  expect(await call(modern, { host })).toMatchObject({ outcome: 'error' })
  expect(modern.requests.length).toBe(before)
})

test('a credential in the URL is filled in, encoded', async () => {
  modern.tools = [echoTool('say')]
  const config = { url: `${modern.url}?key={{credentials.key}}` }
  const host = mcpHost(modern, { config, credentials: { key: 'a/b&c' } })
  expect(await call(modern, { host })).toMatchObject({ outcome: 'success' })
  expect(modern.requests.at(-1)?.url).toBe('/mcp?key=a%2Fb%26c')
})

test('an argument that its schema wants in a header goes there too', async () => {
  modern.tools = [echoTool('say')]
  const region = { type: 'string', 'x-mcp-header': 'Region' }
  await call(modern, {
    argsSchema: { type: 'object', properties: { region } },
    args: { region: 'eu' },
  })
  expect(modern.requests.at(-1)?.headers['mcp-param-region']).toBe('eu')
})

test('who stops a call gets no answer, and the server is left', async () => {
  modern.misbehave = () => undefined
  const stop = new AbortController()
  const called = call(modern, { signal: stop.signal, timeoutMs: 20_000 })
  stop.abort()
  expect(await called).toMatchObject({
    outcome: 'error',
    error: 'interrupted before the server answered',
  })
})

test.each<[string, EndpointVerdict, Parameters<typeof called>]>([
  ['an address that may not be called', 'neither', [{ url: 'http://10.0.0.1/mcp' }]],
  ['a URL that is none', 'neither', [{ url: 'nowhere' }]],
  ['a tool that it does not have', 'works', [modern, { name: 'no' }]],
])('%s says of its health: %s', async (_, health, given) => {
  expect((await called(...given)).health).toBe(health)
})

test.each([
  [503, 'fails'],
  [404, 'works'],
])('an answer with %i says of the health of a server: %s', async (status, health) => {
  modern.misbehave = (response) => response.writeHead(status).end()
  expect((await called(modern)).health).toBe(health)
})

test('a line that breaks says that the server fails', async () => {
  modern.misbehave = (response) => response.destroy()
  expect((await called(modern)).health).toBe('fails')
})
