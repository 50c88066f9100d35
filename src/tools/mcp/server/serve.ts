import {
  createMcpHandler,
  ProtocolError,
  ProtocolErrorCode,
  Server,
} from '@modelcontextprotocol/server'
import type { May } from '../../builtins.ts'
import type { CatalogTool } from '../../catalog.ts'
import { type CallToolDeps, type McpCaller, makeCallTool } from './call-tool.ts'
import { toListedTool } from './listed-tool.ts'

/** How long a client may go by a list it has: nobody tells it of a change. */
const LIST_TTL_MS = 60_000
const CACHE = { ttlMs: LIST_TTL_MS, cacheScope: 'private' } as const
const INSTRUCTIONS =
  'Tools of one organization. Some calls wait until a person has approved them; the same call again then gives the result.'

export interface McpServerDeps extends CallToolDeps {
  readonly version: string
  readonly list: (orgId: string, may: May) => Promise<CatalogTool[]>
}

/**
 * An org's tools as an MCP server: one message in, one answer out, nothing is kept between them. Both eras of the protocol
 * come to one address, that of 2026 (2026-07-28) and that of sessions (2025-11-25 and before), which is served without any.
 *
 * Knows nothing of who may come here: `caller` was let in before.
 */
export function makeMcpServer(deps: McpServerDeps) {
  const callTool = makeCallTool(deps)

  async function listTools(caller: McpCaller) {
    const tools = await deps.list(caller.orgId, caller.may)
    const shown = caller.isPatchbay ? tools.filter(({ isRemote }) => !isRemote) : tools
    return shown.map(toListedTool).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** What nobody expected is logged here, once, and told without a word on what it was. */
  async function guarded<Result>(caller: McpCaller, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof ProtocolError) throw error
      const known = deps.toAppError(error)
      const { requestId } = caller.by
      if (known.code === 'INTERNAL') deps.report(error, requestId)
      throw new ProtocolError(ProtocolErrorCode.InternalError, known.message, { requestId })
    }
  }

  function makeServer(caller: McpCaller): Server {
    const server = new Server(
      { name: 'patchbay', title: 'Patchbay', version: deps.version },
      {
        capabilities: { tools: {} },
        instructions: INSTRUCTIONS,
        cacheHints: { 'tools/list': CACHE, 'server/discover': CACHE },
        inputRequired: { legacyShim: false },
      },
    )
    server.setRequestHandler('tools/list', () =>
      guarded(caller, async () => ({ tools: await listTools(caller) })),
    )
    server.setRequestHandler('tools/call', ({ params }, context) =>
      guarded(caller, () =>
        callTool(caller, { name: params.name, args: params.arguments ?? {} }, context),
      ),
    )
    return server
  }

  /** @param body parsed; undefined where there is none */
  return async function serveMcp(
    request: Request,
    body: unknown,
    caller: McpCaller,
  ): Promise<Response> {
    const refused = refusalOf(body)
    if (refused !== null) return refused
    const problems: Error[] = []
    const handler = createMcpHandler(() => makeServer(caller), {
      onerror: (error) => problems.push(error),
    })
    const response = await handler.fetch(request, body === undefined ? {} : { parsedBody: body })
    // It is also told of what clients do wrong, which their answers say.
    if (response.status >= 500) deps.report(problems.at(-1), caller.by.requestId)
    return response
  }
}

/**
 * What the library would take and this server does not have. A batch is one request to the limits, whatever it holds, and is
 * gone from the protocol since 2025-06-18; to listen is to wait for changes that nobody tells of.
 */
function refusalOf(body: unknown): Response | null {
  if (Array.isArray(body)) {
    return refusal(400, ProtocolErrorCode.InvalidRequest, 'Send one message at a time.', null)
  }
  if (typeof body !== 'object' || body === null || !('method' in body)) return null
  if (body.method !== 'subscriptions/listen') return null
  const id = 'id' in body && ['string', 'number'].includes(typeof body.id) ? body.id : null
  return refusal(404, ProtocolErrorCode.MethodNotFound, 'Method not found', id)
}

function refusal(status: number, code: number, message: string, id: unknown): Response {
  return Response.json({ jsonrpc: '2.0', error: { code, message }, id }, { status })
}
