import type { Client } from '@modelcontextprotocol/client'
import { type McpFailure, McpFailureError, mcpError } from './mcp-failure.ts'
import { makeMcpFetch, type SendMcp } from './mcp-fetch.ts'

/** Longer than the requests themselves may take, so that it is they who say what happened. */
const LIBRARY_GRACE_MS = 1000
const MAX_MESSAGE = 500

/** Read with the first call of a server: 8 MB that most processes never need. */
const loadLibrary = () => import('@modelcontextprotocol/client')
type Library = Awaited<ReturnType<typeof loadLibrary>>

export interface McpServer {
  readonly url: string
  /** Name, value, … */
  readonly headers: readonly string[]
  readonly send: SendMcp
}

export interface McpWork {
  /** For the handshake and all that follows. */
  readonly timeoutMs: number
  /** Of all answers together. */
  readonly maxBytes: number
  readonly signal?: AbortSignal | undefined
  /** With the call of a tool alone; name, value, … */
  readonly callHeaders?: readonly string[]
}

export type McpOutcome<Result> =
  | { readonly ok: true; readonly value: Result; readonly protocolVersion: string }
  | { readonly ok: false; readonly failure: McpFailure }

export interface McpConnection {
  readonly client: Client
  /** Goes with each request. */
  readonly request: { readonly timeout: number; readonly signal: AbortSignal }
}

/**
 * Shakes hands with a server, of 2026-07-28 or of 2025, does one thing there, and ends it: nothing is kept open between two
 * operations. Never throws for what the server does.
 */
export async function withMcpServer<Result>(
  { url, headers, send }: McpServer,
  { timeoutMs, maxBytes, signal, callHeaders = [] }: McpWork,
  version: string,
  work: (connection: McpConnection) => Promise<Result>,
): Promise<McpOutcome<Result>> {
  const library = await loadLibrary()
  const stop = signal ?? new AbortController().signal
  const way = makeMcpFetch({
    url,
    send,
    headers,
    callHeaders,
    maxBytes,
    endByMs: performance.now() + timeoutMs,
    signal: stop,
  })
  const client = new library.Client(
    { name: 'patchbay', version },
    // No handler for anything: a server that asks for more than the arguments gets nothing.
    { versionNegotiation: { mode: 'auto' }, inputRequired: { autoFulfill: false } },
  )
  const transport = new library.StreamableHTTPClientTransport(new URL(url), {
    fetch: way.fetch,
    requestInit: { redirect: 'error' },
    onInsufficientScope: 'throw',
    reconnectionOptions: {
      maxRetries: 0,
      initialReconnectionDelay: 1,
      maxReconnectionDelay: 1,
      reconnectionDelayGrowFactor: 1,
    },
  })
  const request = { timeout: timeoutMs + LIBRARY_GRACE_MS, signal: stop }
  try {
    await client.connect(transport, request)
    const value = await work({ client, request })
    // A session that is left open ends by itself, some time.
    await transport.terminateSession().catch(() => undefined)
    return { ok: true, value, protocolVersion: client.getNegotiatedProtocolVersion() ?? '' }
  } catch (error) {
    // The library's words for it know less.
    return { ok: false, failure: way.lastFailure() ?? failureOf(library, error, stop) }
  } finally {
    await client.close()
  }
}

/** Only the library's own code and what it makes of the server's answers runs there. */
function failureOf(
  { ProtocolError, SdkError, SdkErrorCode }: Library,
  error: unknown,
  signal: AbortSignal,
): McpFailure {
  if (error instanceof McpFailureError) return error.failure
  if (signal.aborted) return mcpError('interrupted before the server answered', 'neither')
  const message = error instanceof Error ? error.message.slice(0, MAX_MESSAGE) : 'no reason given'
  if (error instanceof ProtocolError) {
    return mcpError(`the server answered with the error ${error.code}: ${message}`)
  }
  if (!(error instanceof SdkError))
    return mcpError(`the server's answer makes no sense: ${message}`)
  switch (error.code) {
    case SdkErrorCode.RequestTimeout:
      return { outcome: 'timeout', reason: 'no answer in time', health: 'fails' }
    case SdkErrorCode.UnsupportedResultType:
    case SdkErrorCode.InputRequiredRoundsExceeded:
      return mcpError('the server asks for more than the arguments, which nobody here can give')
    default:
      return mcpError(`the server's answer makes no sense: ${message}`)
  }
}
