import { z } from 'zod'
import { toSnippet } from '../../../core/answer.ts'
import { type McpFailure, McpFailureError, mcpError } from './mcp-failure.ts'
import { readRpcAnswer } from './rpc-answer.ts'
import { withUnreadTools } from './unread-tools.ts'

export interface McpRequest {
  readonly url: string
  readonly method: 'POST' | 'DELETE'
  /** Name, value, … */
  readonly headers: readonly string[]
  readonly body: string | null
  /** For the whole exchange. */
  readonly timeoutMs: number
  readonly maxBytes: number
  readonly signal: AbortSignal
}

export interface McpReply {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  readonly isCut: boolean
}

/** One request to the server, by the rules for everything that an org configured; what came of it is a value. */
export type SendMcp = (request: McpRequest) => Promise<McpReply | McpFailure>

interface McpFetchOptions {
  readonly url: string
  readonly send: SendMcp
  /** Beside those of the protocol; name, value, … */
  readonly headers: readonly string[]
  /** With the call of a tool alone. */
  readonly callHeaders: readonly string[]
  /** Of all answers together. */
  readonly maxBytes: number
  /** By `performance.now()`: for everything. */
  readonly endByMs: number
  readonly signal: AbortSignal
}

/** A request, or a notification, which has no id. */
const rpc = z.object({ method: z.string(), id: z.union([z.string(), z.number()]).optional() })

/**
 * `fetch` for the library: each request goes out through `send` and is read to its end before anybody sees a byte of it.
 * Streams that the server could fill at its leisure are not opened. Throws `McpFailureError`, and nothing else.
 */
export function makeMcpFetch(options: McpFetchOptions) {
  let roomBytes = options.maxBytes
  let failure: McpFailure | null = null

  const fail = (what: McpFailure): never => {
    failure = what
    throw new McpFailureError(what)
  }

  return {
    /** What went wrong in the last request; null: nothing. */
    lastFailure: (): McpFailure | null => failure,

    async fetch(_: string | URL, init: RequestInit = {}): Promise<Response> {
      const method = init.method ?? 'GET'
      if (method !== 'POST' && method !== 'DELETE') return new Response(null, { status: 405 })
      failure = null
      const body = typeof init.body === 'string' ? init.body : null
      const { id = null, method: called = null } = body === null ? {} : rpc.parse(JSON.parse(body))
      const extra = called === 'tools/call' ? options.callHeaders : []
      const signals = [options.signal, init.signal].filter(
        (signal) => signal instanceof AbortSignal,
      )
      const reply = await options.send({
        // Whatever the library asks for: there is one place to go.
        url: options.url,
        method,
        headers: [...[...new Headers(init.headers)].flat(), ...options.headers, ...extra],
        body,
        timeoutMs: Math.max(1, options.endByMs - performance.now()),
        maxBytes: roomBytes,
        signal: AbortSignal.any(signals),
      })
      if ('outcome' in reply) return fail(reply)
      roomBytes -= Buffer.byteLength(reply.body)
      const { statusCode } = reply
      const refusal = refusalOf(statusCode)
      if (refusal !== null) return fail(mcpError(refusal))
      const headers = new Headers()
      const session = textOf(reply.headers['mcp-session-id'])
      if (session !== '') headers.set('mcp-session-id', session)
      if (statusCode < 200 || statusCode >= 300) {
        const shown = toSnippet(reply.body, reply.isCut).trim()
        const health = statusCode >= 500 ? 'fails' : 'works'
        failure = mcpError(`HTTP ${statusCode}${shown === '' ? '' : `: ${shown}`}`, health)
        headers.set('content-type', textOf(reply.headers['content-type']))
        return new Response(reply.body, { status: Math.max(400, statusCode), headers })
      }
      if (id === null) return new Response(null, { status: 202, headers })
      const contentType = textOf(reply.headers['content-type'])
      const { maxBytes } = options
      const answer = readRpcAnswer({ ...reply, contentType, maxBytes }, id)
      if (answer.kind === 'problem') return fail(mcpError(answer.reason))
      headers.set('content-type', 'application/json')
      const text = called === 'tools/list' ? withUnreadTools(answer.text) : answer.text
      return new Response(text, { status: 200, headers })
    },
  }
}

/** What the library is not to look at: it would begin to discover who else could let us in. */
function refusalOf(statusCode: number): string | null {
  if (statusCode === 401 || statusCode === 403) {
    return `the server refused its credentials (HTTP ${statusCode})`
  }
  if (statusCode >= 300 && statusCode < 400) {
    return `it answered with a redirect (HTTP ${statusCode}), which is not followed: set the URL that it leads to`
  }
  return null
}

function textOf(header: string | string[] | undefined): string {
  return (Array.isArray(header) ? header[0] : header) ?? ''
}
