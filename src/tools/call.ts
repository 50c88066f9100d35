import { toSnippet } from '../core/answer.ts'
import type { Egress } from '../egress/egress.ts'
import type { EgressResult } from '../egress/exchange.ts'
import type { RunnableTool } from './catalog.ts'
import type { ToolHost } from './definitions.ts'
import { fillText, fillUrl, type HttpConfig } from './http-config.ts'
import type { Invocation } from './invoke.ts'

const DEFAULT_TIMEOUT_MS = 10_000
const MAX_RESULT_BYTES = 262_144
const BODILESS = new Set(['GET', 'DELETE'])

export interface CallResult {
  readonly outcome: 'success' | 'error' | 'timeout' | 'blocked'
  readonly result: unknown
  readonly error: string | null
}

interface CallDeps {
  readonly egress: Pick<Egress, 'judge' | 'send'>
  readonly loadHost: (orgId: string, integrationId: string) => Promise<ToolHost | null>
  readonly userAgent: string
}

type External = Extract<RunnableTool, { kind: 'external' }>

/** Calls the endpoint of an external tool. Credentials go in; what comes out is cleaned of them. */
export function makeCall({ egress, loadHost, userAgent }: CallDeps) {
  return async function call(
    tool: External,
    invocation: Invocation,
    runId: string,
  ): Promise<CallResult> {
    const host = await loadHost(invocation.orgId, tool.integrationId)
    if (host === null || !host.isEnabled) return failed('error', 'its integration is disabled')
    const args = invocation.args as Record<string, unknown>
    const { httpConfig } = tool
    const verdict = egress.judge(fillUrl(httpConfig, host, args), host.network)
    if (!verdict.isAllowed) return failed('blocked', `the URL ${verdict.reason}`)

    const body = bodyOf(httpConfig, invocation)
    const headers = Object.entries(httpConfig.headers ?? {}).flatMap(([name, value]) => [
      name,
      fillText(value, host),
    ])
    headers.push('user-agent', userAgent, 'accept-encoding', 'identity', 'idempotency-key', runId)
    if (body !== null) headers.push('content-type', 'application/json')
    if (headers.some((text) => !/^[\t\x20-\x7e]*$/.test(text))) {
      return failed('error', 'a header value has characters that are not allowed in a header')
    }
    const answer = await egress.send(verdict.target, host.network, {
      method: httpConfig.method,
      headers,
      body,
      timeoutMs: httpConfig.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxBytes: MAX_RESULT_BYTES,
      ...(invocation.signal === undefined ? {} : { signal: invocation.signal }),
    })
    return withoutSecrets(toResult(answer), Object.values(host.credentials))
  }
}

function bodyOf(config: HttpConfig, invocation: Invocation): string | null {
  const kind = config.body ?? (BODILESS.has(config.method) ? 'none' : 'envelope')
  if (kind === 'none') return null
  if (kind === 'args') return JSON.stringify(invocation.args)
  const { orgId, userId, conversationId, args } = invocation
  return JSON.stringify({ orgId, userId, conversationId, args })
}

function toResult(answer: EgressResult): CallResult {
  switch (answer.kind) {
    case 'answer':
      break
    case 'timeout':
    case 'blocked':
      return failed(answer.kind, answer.reason)
    case 'failed':
    case 'interrupted':
      return failed('error', answer.reason)
  }
  const text = answer.body.toString()
  if (answer.statusCode >= 200 && answer.statusCode < 300) {
    return { outcome: 'success', result: parseResult(text, answer.isCut), error: null }
  }
  const hint = answer.statusCode < 400 ? ' (redirects are not followed)' : ''
  const snippet = toSnippet(text.slice(0, 300), text.length > 300).trim()
  return failed('error', `HTTP ${answer.statusCode}${hint}${snippet === '' ? '' : `: ${snippet}`}`)
}

/** JSON where it is JSON, text otherwise; a result that was cut says so. */
function parseResult(text: string, isCut: boolean): unknown {
  if (isCut) return `${text}\n[cut: the result is over ${MAX_RESULT_BYTES} bytes]`
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON, whatever its content type says: the text is the result.
    return text
  }
}

function failed(outcome: CallResult['outcome'], error: string): CallResult {
  return { outcome, result: null, error }
}

/** An endpoint that echoes its request must not hand a credential to a model. */
function withoutSecrets(result: CallResult, secrets: readonly string[]): CallResult {
  const long = secrets.filter((secret) => secret.length >= 6)
  if (long.length === 0) return result
  const clean = (value: unknown): unknown => {
    if (typeof value === 'string') {
      return long.reduce((text, secret) => text.replaceAll(secret, '[secret]'), value)
    }
    if (Array.isArray(value)) return value.map(clean)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, clean(entry)]))
  }
  const error = result.error === null ? null : String(clean(result.error))
  return { outcome: result.outcome, result: clean(result.result), error }
}
