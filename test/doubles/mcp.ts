import type { ServerResponse } from 'node:http'
import {
  type CallToolResult,
  createMcpHandler,
  type ListToolsResult,
  legacyStatelessFallback,
  Server,
  type Tool,
} from '@modelcontextprotocol/server'
import { openReceiver, type ReceivedRequest } from '../fixtures/receiver.ts'

export interface McpTool {
  readonly definition: Tool
  readonly run: (args: Readonly<Record<string, unknown>>) => CallToolResult
}

export interface McpDouble extends AsyncDisposable {
  readonly url: string
  /** Oldest first. */
  readonly requests: readonly ReceivedRequest[]
  /** JSON-RPC methods that were asked, oldest first. */
  readonly asked: () => string[]
  tools: readonly McpTool[]
  /** A page of the list, by its cursor; null: the tools as they are, on one page. */
  page: ((cursor: string | undefined) => ListToolsResult) | null
  /** Answers instead of the server; null: the server answers. */
  misbehave: ((response: ServerResponse, request: ReceivedRequest) => void) | null
  /** Sessions that were begun and not ended; of the old era alone, where there are sessions. */
  readonly sessions: ReadonlySet<string>
  /** The bearer token without which nothing is answered; null: none is needed. */
  token: string | null
}

interface McpOptions {
  /** `both`: 2026-07-28 and 2025; `2025`: a server that has never heard of the new one, and keeps sessions. */
  readonly era?: 'both' | '2025'
  readonly responseMode?: 'json' | 'sse'
}

/** An MCP server on the loopback, made with the protocol's own library, whose manners a test can spoil. */
export async function openMcp({ era = 'both', responseMode }: McpOptions = {}): Promise<McpDouble> {
  const makeServer = () => {
    const server = new Server({ name: 'double', version: '1.0.0' }, { capabilities: { tools: {} } })
    server.setRequestHandler('tools/list', ({ params }) =>
      double.page === null
        ? { tools: double.tools.map(({ definition }) => definition) }
        : double.page(params?.cursor),
    )
    server.setRequestHandler('tools/call', ({ params }) => {
      const tool = double.tools.find(({ definition }) => definition.name === params.name)
      return tool === undefined
        ? { isError: true, content: [{ type: 'text', text: `No tool ${params.name}` }] }
        : tool.run(params.arguments ?? {})
    })
    return server
  }
  const handler = createMcpHandler(makeServer, responseMode === undefined ? {} : { responseMode })
  const legacy = legacyStatelessFallback(makeServer)
  const sessions = new Set<string>()

  async function answer(request: ReceivedRequest): Promise<Response> {
    const { authorization } = request.headers
    if (double.token !== null && authorization !== `Bearer ${double.token}`) {
      const headers = { 'www-authenticate': `Bearer resource_metadata="${receiver.url}/elsewhere"` }
      return Response.json({ error: 'unauthorized' }, { status: 401, headers })
    }
    const web = toWebRequest(receiver.url, request)
    if (era === 'both') return handler.fetch(web)
    const session = String(request.headers['mcp-session-id'] ?? '')
    if (request.method === 'DELETE') {
      return new Response(null, { status: sessions.delete(session) ? 204 : 404 })
    }
    const isBeginning = methodOf(request) === 'initialize'
    if (!isBeginning && !sessions.has(session)) {
      const error = { code: -32000, message: 'Bad Request: no valid session ID' }
      return Response.json({ jsonrpc: '2.0', error, id: null }, { status: 400 })
    }
    const response = await legacy(web)
    if (!isBeginning || !response.ok) return response
    const begun = `session-${sessions.size + 1}`
    sessions.add(begun)
    const headers = new Headers(response.headers)
    headers.set('mcp-session-id', begun)
    return new Response(response.body, { status: response.status, headers })
  }

  const receiver = await openReceiver((response, request) => {
    if (double.misbehave !== null) {
      double.misbehave(response, request)
      return
    }
    answer(request)
      .then(async (made) => {
        response.writeHead(made.status, Object.fromEntries(made.headers))
        response.end(Buffer.from(await made.arrayBuffer()))
      })
      .catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
  })
  const double: McpDouble = {
    url: `${receiver.url}/mcp`,
    requests: receiver.requests,
    asked: () => receiver.requests.map(methodOf),
    tools: [],
    page: null,
    misbehave: null,
    sessions,
    token: null,
    [Symbol.asyncDispose]: async () => {
      await handler.close()
      await receiver[Symbol.asyncDispose]()
    },
  }
  return double
}

/** A tool that says back what it was given. */
export function echoTool(name: string, more: Partial<Tool> = {}): McpTool {
  return {
    definition: {
      name,
      description: `Says back what it was given (${name})`,
      inputSchema: { type: 'object', properties: { text: { type: 'string' } } },
      ...more,
    },
    run: (args) => ({ content: [{ type: 'text', text: JSON.stringify(args) }] }),
  }
}

/** `DELETE` and the like for what is no JSON-RPC. */
export function methodOf({ method, body }: ReceivedRequest): string {
  return method === 'POST' ? String(JSON.parse(body).method) : method
}

function toWebRequest(origin: string, { method, url, headers, body }: ReceivedRequest): Request {
  const given = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) given.set(name, String(value))
  }
  return new Request(new URL(url, origin), {
    method,
    headers: given,
    ...(method === 'GET' || method === 'HEAD' || method === 'DELETE' ? {} : { body }),
  })
}
