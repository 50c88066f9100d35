import { z } from 'zod'
import { AppError } from '../../../core/error.ts'
import { headersProblem } from '../../../core/header.ts'
import { type McpConfig, mcpConfig } from '../../../core/mcp-config.ts'
import { makeRedact } from '../../../core/redact.ts'
import type { Egress } from '../../../egress/egress.ts'
import type { JsonSchema } from '../../args.ts'
import type { CallResult } from '../../call-result.ts'
import type { EndpointVerdict } from '../../circuit.ts'
import type { ToolHost } from '../../definitions.ts'
import { type Fillings, fillText, fillUrl, missingFilling } from '../../fill.ts'
import type { HttpConfig } from '../../http-config.ts'
import { toCallResult } from './answered-result.ts'
import { egressSend } from './egress-send.ts'
import { type McpFailure, McpFailureError, mcpError } from './mcp-failure.ts'
import type { SendMcp } from './mcp-fetch.ts'
import { UNREAD_TOOLS } from './unread-tools.ts'
import {
  type McpConnection,
  type McpOutcome,
  type McpServer,
  withMcpServer,
} from './with-server.ts'

const MAX_LIST_BYTES = 1_048_576
const MAX_RESULT_BYTES = 262_144
const MAX_PAGES = 50
const LIST_TIMEOUT_MS = 20_000
const DEFAULT_CALL_TIMEOUT_MS = 20_000

/** A server's tools as it lists them, nothing of them looked at yet. */
export interface McpToolList {
  readonly tools: readonly unknown[]
  /** How long the list is good for, by the server; null: it does not say. */
  readonly ttlMs: number | null
}

/** What came of a call, and what it says of the server. */
export interface McpCalled {
  readonly result: CallResult
  readonly health: EndpointVerdict
}

export interface McpCall {
  readonly orgId: string
  readonly host: Pick<ToolHost, 'config' | 'credentials' | 'network' | 'domains'>
  /** As the server calls it. */
  readonly name: string
  readonly args: Readonly<Record<string, unknown>>
  /** As the tool is defined here: says which arguments go in headers too. */
  readonly argsSchema: JsonSchema
  readonly runId: string
  readonly traceparent?: string | undefined
  /** Left out: the config's. */
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

interface McpClientDeps {
  readonly egress: Pick<Egress, 'judge' | 'send'>
  readonly userAgent: string
  /** Of this product, as servers are told. */
  readonly version: string
}

/** Of one page; each tool is looked at by itself, so that one that is wrong does not take the others with it. */
const page = z.looseObject({
  [UNREAD_TOOLS]: z.array(z.unknown()),
  nextCursor: z.string().nullish(),
  ttlMs: z.number().nullish(),
})

type Host = McpCall['host']

/** Speaks to the MCP servers that orgs configured, each time anew and only through egress. What they do is a value. */
export function makeMcpClient({ egress, userAgent, version }: McpClientDeps) {
  return {
    async listTools(
      orgId: string,
      host: Host,
      signal?: AbortSignal,
    ): Promise<McpOutcome<McpToolList>> {
      const server = serverOf(host, egressSend(egress, { orgId, ...host }, userAgent))
      if ('outcome' in server) return { ok: false, failure: server }
      const listed = await listMcpTools(server, version, signal)
      if (!listed.ok) return { ok: false, failure: redacted(listed.failure, host) }
      // A server that says its key back must not have it in a description, which models and members read.
      const redact = makeRedact(Object.values(host.credentials))
      const { ttlMs } = listed.value
      const tools = listed.value.tools.map((tool) => redact.json(tool))
      return { ...listed, value: { tools, ttlMs } }
    },

    async callTool(call: McpCall): Promise<McpCalled> {
      const { host, orgId, runId, traceparent, signal } = call
      const server = serverOf(host, egressSend(egress, { orgId, ...host }, userAgent))
      // A matter of the integration: nothing was sent.
      if ('outcome' in server) return failed({ ...server, health: 'neither' })
      const timeoutMs = call.timeoutMs ?? server.config.timeoutMs ?? DEFAULT_CALL_TIMEOUT_MS
      const callHeaders = ['idempotency-key', runId]
      if (traceparent !== undefined) callHeaders.push('traceparent', traceparent)
      const work = { timeoutMs, maxBytes: MAX_RESULT_BYTES, signal, callHeaders }
      const called = await withMcpServer(server, work, version, ({ client, request }) =>
        client.callTool(
          { name: call.name, arguments: { ...call.args } },
          {
            ...request,
            // Without its output schema, which the library would compile as it is.
            toolDefinition: {
              name: call.name,
              inputSchema: { ...call.argsSchema, type: 'object' as const },
            },
          },
        ),
      )
      if (!called.ok) return failed(redacted(called.failure, host))
      const result = toCallResult(called.value, makeRedact(Object.values(host.credentials)))
      return { result, health: 'works' }
    },
  }
}

/** The whole list, page by page. */
export function listMcpTools(
  server: McpServer,
  version: string,
  signal?: AbortSignal,
): Promise<McpOutcome<McpToolList>> {
  const work = { timeoutMs: LIST_TIMEOUT_MS, maxBytes: MAX_LIST_BYTES, signal }
  return withMcpServer(server, work, version, readPages)
}

async function readPages({ client, request }: McpConnection): Promise<McpToolList> {
  if (client.getServerCapabilities()?.tools === undefined) {
    throw new McpFailureError(mcpError('the server says that it has no tools to offer'))
  }
  const tools: unknown[] = []
  const cursors = new Set<string>()
  let ttlMs: number | null = null
  for (let cursor: string | undefined; ; ) {
    const params = cursor === undefined ? {} : { params: { cursor } }
    const read = await client.request({ method: 'tools/list', ...params }, page, request)
    tools.push(...read[UNREAD_TOOLS])
    ttlMs ??= read.ttlMs ?? null
    const next = read.nextCursor ?? undefined
    if (next === undefined || next === '') return { tools, ttlMs }
    cursors.add(next)
    if (cursors.size >= MAX_PAGES || next === cursor) {
      throw new McpFailureError(mcpError('its list of tools has no end'))
    }
    cursor = next
  }
}

/** Where a server is, with the credentials filled in; or why it cannot be called. */
export function serverOf(
  host: Pick<Host, 'config' | 'credentials'>,
  send: SendMcp,
): (McpServer & { readonly config: McpConfig }) | McpFailure {
  const parsed = mcpConfig.safeParse(host.config)
  if (!parsed.success) return mcpError('the integration’s config has no URL of an MCP server')
  const config = parsed.data
  const target: HttpConfig = { method: 'POST', url: config.url, headers: config.headers ?? {} }
  const fillings = { credentials: host.credentials, config: {} }
  const missing = missingFilling(target, fillings)
  if (missing !== null) return mcpError(`the integration has no ${missing}`)
  const headers = Object.entries(config.headers ?? {}).map(
    ([name, value]) => [name, fillText(value, fillings)] as const,
  )
  const wrong = headersProblem(Object.fromEntries(headers))
  if (wrong !== null) return mcpError(`the header ${wrong.name} ${wrong.message}`)
  const url = filledUrl(target, fillings)
  if (url === null) return mcpError('its URL is too long with the credentials filled in')
  return { url, headers: headers.flat(), send, config }
}

function filledUrl(target: HttpConfig, fillings: Fillings): string | null {
  try {
    return fillUrl(target, fillings, {})
  } catch (error) {
    if (error instanceof AppError) return null
    throw error
  }
}

function redacted(failure: McpFailure, host: Host): McpFailure {
  return { ...failure, reason: makeRedact(Object.values(host.credentials)).text(failure.reason) }
}

function failed({ outcome, reason, health = 'works' }: McpFailure): McpCalled {
  return { result: { outcome, result: null, error: reason }, health }
}
