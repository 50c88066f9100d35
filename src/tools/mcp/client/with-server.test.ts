import type { ServerResponse } from 'node:http'
import { afterAll, describe, expect, test } from 'vitest'
import { type McpDouble, methodOf, openMcp } from '../../../../test/doubles/mcp.ts'
import { openOurMcpClient } from '../../../../test/fixtures/our-mcp-client.ts'
import { openReceiver, type ReceivedRequest } from '../../../../test/fixtures/receiver.ts'

const client = openOurMcpClient()
const { call, list } = client
const modern = await openMcp()
const old = await openMcp({ era: '2025' })
const elsewhere = await openReceiver()
afterAll(async () => {
  for (const each of [modern, old, elsewhere, client]) await each[Symbol.asyncDispose]()
})

/** Discovery as it should be, and any result to what follows. */
function answerRpc(response: ServerResponse, request: ReceivedRequest, result: object): void {
  const { id, method } = JSON.parse(request.body)
  const discovered = {
    supportedVersions: ['2026-07-28'],
    capabilities: { tools: {} },
    resultType: 'complete',
    ttlMs: 0,
    cacheScope: 'private',
    _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'double', version: '1' } },
  }
  response.writeHead(200, { 'content-type': 'application/json' })
  const given = method === 'server/discover' ? discovered : result
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result: given }))
}

type Misbehave = NonNullable<McpDouble['misbehave']>

const json = { 'content-type': 'application/json' }
const HOSTILE: readonly (readonly [string, Misbehave, RegExp])[] = [
  [
    'redirects',
    (response) => response.writeHead(307, { location: `${elsewhere.url}/mcp` }).end(),
    /redirect \(HTTP 307\), which is not followed/,
  ],
  [
    'answers a page for people',
    (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Hi</h1>'),
    /answered text\/html, and no MCP/,
  ],
  ['hangs', () => undefined, /no answer within/],
  [
    'sends 10 MB',
    (response) => response.writeHead(200, json).end(`{"a":"${'x'.repeat(10_000_000)}"}`),
    /over \d+ bytes/,
  ],
  [
    'sends half an answer and goes',
    (response) => {
      response.writeHead(200, { ...json, 'content-length': '1000' })
      response.write('{"jsonrpc":"2.0",')
      setTimeout(() => response.destroy(), 20)
    },
    /./,
  ],
  [
    'sends half an answer and says that it is all',
    (response) => response.writeHead(200, json).end('{"jsonrpc":"2.0","id":'),
    /is not JSON/,
  ],
  [
    'streams progress and no answer',
    (response) =>
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .end('data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n'),
    /ended without a response/,
  ],
  [
    'asks us to run a model',
    (response) =>
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .end('data: {"jsonrpc":"2.0","id":0,"method":"sampling/createMessage","params":{}}\n\n'),
    /ended without a response/,
  ],
  [
    'nests its answer for ever',
    (response, { body }) => {
      const { id } = JSON.parse(body)
      const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
      const text = JSON.stringify(id)
      response.writeHead(200, json).end(`{"jsonrpc":"2.0","id":${text},"result":{"x":${deep}}}`)
    },
    /nested too deep/,
  ],
  [
    'compresses unasked',
    (response) => response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end('x'),
    /encoded \(gzip\), unasked/,
  ],
  ['breaks', (response) => response.writeHead(500).end('oops'), /HTTP 500: oops/],
  ['has nothing there', (response) => response.writeHead(404).end('nothing'), /HTTP 404: nothing/],
  [
    'answers errors only',
    (response, { body }) => {
      const error = { code: -32_603, message: 'inside out' }
      const { id } = JSON.parse(body)
      response.writeHead(200, json).end(JSON.stringify({ jsonrpc: '2.0', id, error }))
    },
    /inside out/,
  ],
  [
    'answers something else than was asked',
    (response, { body }) => {
      const { id } = JSON.parse(body)
      response.writeHead(200, json).end(JSON.stringify({ jsonrpc: '2.0', id, result: [1] }))
    },
    /makes no sense/,
  ],
]

describe('a server that misbehaves is a value, and nothing of it goes anywhere else', () => {
  test.each(HOSTILE)('%s', async (_, misbehave, reason) => {
    modern.misbehave = misbehave
    const called = await call(modern, { timeoutMs: 700 })
    expect(called.outcome).toMatch(/error|timeout/)
    expect(called.error).toMatch(reason)
    if (!reason.test('no answer within')) {
      const listed = await list(modern)
      expect(listed).toMatchObject({ ok: false })
    }
    expect(elsewhere.requests).toEqual([])
  })

  test('also after it shook hands', async () => {
    modern.misbehave = (response, request) => {
      if (methodOf(request) === 'server/discover') return answerRpc(response, request, {})
      response.writeHead(200, json).end('{"jsonrpc":')
    }
    expect(await call(modern)).toMatchObject({ outcome: 'error', error: 'its answer is not JSON' })
  })

  test('one that asks for more than the arguments is an error', async () => {
    modern.misbehave = (response, request) =>
      answerRpc(response, request, {
        resultType: 'input_required',
        inputRequests: { a: { method: 'elicitation/create', params: { message: 'Password?' } } },
        requestState: 'x',
      })
    expect(await call(modern)).toMatchObject({ outcome: 'error' })
  })

  test('one that sends its tools as something else lists none', async () => {
    modern.misbehave = (response, request) => answerRpc(response, request, { tools: 'all' })
    expect(await list(modern)).toMatchObject({ ok: false })
  })

  test('one that offers no tools says so', async () => {
    old.misbehave = (response, { body }) => {
      const { id, method } = JSON.parse(body)
      const result = {
        protocolVersion: '2025-11-25',
        capabilities: {},
        serverInfo: { name: 'x', version: '1' },
      }
      const error = { code: -32_601, message: 'no such method' }
      const answer = method === 'initialize' ? { result } : { error }
      response.writeHead(id === undefined ? 202 : 200, json)
      response.end(id === undefined ? '' : JSON.stringify({ jsonrpc: '2.0', id, ...answer }))
    }
    expect(await list(old)).toMatchObject({
      failure: { reason: 'the server says that it has no tools to offer' },
    })
  })
})
