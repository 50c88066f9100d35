import { toSnippet } from '../core/answer.ts'
import { headersProblem } from '../core/header.ts'
import { makeRedact, type Redact } from '../core/redact.ts'
import type { Egress } from '../egress/egress.ts'
import type { EgressResult } from '../egress/exchange.ts'
import type { RunnableTool } from './catalog.ts'
import type { ToolHost } from './definitions.ts'
import { fillText, fillUrl, missingFilling } from './fill.ts'
import type { HttpConfig } from './http-config.ts'
import type { Invocation } from './invoke.ts'

const DEFAULT_TIMEOUT_MS = 10_000
const MAX_RESULT_BYTES = 262_144
const MAX_ERROR_SNIPPET = 300
const BODILESS = new Set(['GET', 'DELETE'])

export interface CallResult {
  readonly outcome: 'success' | 'error' | 'timeout' | 'blocked'
  readonly result: unknown
  readonly error: string | null
}

/** A call whose arguments are known to fit. */
export interface CheckedInvocation extends Invocation {
  readonly args: Readonly<Record<string, unknown>>
}

interface CallDeps {
  readonly egress: Pick<Egress, 'judge' | 'send'>
  readonly loadHost: (orgId: string, integrationId: string) => Promise<ToolHost | null>
  readonly userAgent: string
}

type External = Extract<RunnableTool, { kind: 'external' }>
type EndpointAnswer = Extract<EgressResult, { kind: 'answer' }>

/**
 * Calls the endpoint of an external tool. Credentials go in; what comes out, the arguments to be kept included, is cleaned
 * of them. What the endpoint does is a value.
 *
 * @throws AppError `INVALID_BODY` for arguments that cannot stand in the URL, before anything is sent
 */
export function makeCall({ egress, loadHost, userAgent }: CallDeps) {
  return async function call(
    tool: External,
    invocation: CheckedInvocation,
    runId: string,
  ): Promise<CallResult & { readonly arguments: unknown }> {
    const { args, orgId } = invocation
    const host = await loadHost(orgId, tool.integrationId)
    if (host === null || !host.isEnabled) {
      return { ...failed('error', 'its integration is disabled'), arguments: args }
    }
    const redact = makeRedact(Object.values(host.credentials))
    const sent = await send(tool.httpConfig, host, invocation, runId)
    const result = sent.kind === 'problem' ? sent.result : toResult(sent.answer, redact)
    return { ...result, arguments: redact.json(args) }
  }

  async function send(
    config: HttpConfig,
    host: ToolHost,
    invocation: CheckedInvocation,
    runId: string,
  ): Promise<{ kind: 'problem'; result: CallResult } | { kind: 'sent'; answer: EgressResult }> {
    const problem = (result: CallResult) => ({ kind: 'problem', result }) as const
    const missing = missingFilling(config, host)
    if (missing !== null) {
      return problem(failed('error', `its integration has no ${missing} any more`))
    }
    const { orgId } = invocation
    const { network, domains } = host
    const url = fillUrl(config, host, invocation.args)
    const verdict = egress.judge(url, { orgId, network, domains })
    if (!verdict.isAllowed) return problem(failed('blocked', `the URL ${verdict.reason}`))

    const body = bodyOf(config, invocation)
    const own = Object.entries(config.headers ?? {}).map(
      ([name, value]) => [name, fillText(value, host)] as const,
    )
    // A credential may have what no header may: what is filled in is judged as what is written down.
    const wrong = headersProblem(Object.fromEntries(own))
    if (wrong !== null) {
      const which = wrong.name === '' ? 'has headers with' : `header ${wrong.name}`
      return problem(failed('error', `the tool's ${which} ${wrong.message}`))
    }
    const headers = [...own.flat(), 'user-agent', userAgent, 'idempotency-key', runId]
    if (body !== null) headers.push('content-type', 'application/json')
    const { signal } = invocation
    const answer = await egress.send(verdict.target, network, {
      method: config.method,
      headers,
      body,
      timeoutMs: config.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxBytes: MAX_RESULT_BYTES,
      ...(signal === undefined ? {} : { signal }),
    })
    return { kind: 'sent', answer }
  }
}

function bodyOf(config: HttpConfig, invocation: CheckedInvocation): string | null {
  const kind = config.body ?? (BODILESS.has(config.method) ? 'none' : 'envelope')
  if (kind === 'none') return null
  if (kind === 'args') return JSON.stringify(invocation.args)
  const { orgId, userId, conversationId, args } = invocation
  return JSON.stringify({ orgId, userId, conversationId, args })
}

function toResult(answer: EgressResult, redact: Redact): CallResult {
  switch (answer.kind) {
    case 'answer':
      return toAnswerResult(answer, redact)
    case 'timeout':
    case 'blocked':
      return failed(answer.kind, redact.text(answer.reason))
    case 'failed':
      return failed('error', redact.text(answer.reason))
    case 'interrupted':
      return failed('error', 'interrupted before the endpoint answered')
  }
}

function toAnswerResult(answer: EndpointAnswer, redact: Redact): CallResult {
  const { statusCode, isCut, encoding } = answer
  if (encoding !== null) {
    const shown = redact.text(encoding)
    return failed('error', `HTTP ${statusCode}: the answer is encoded (${shown}), unasked`)
  }
  const text = answer.body.toString()
  if (statusCode >= 200 && statusCode < 300) {
    return { outcome: 'success', result: parseResult(answer, text, redact), error: null }
  }
  const hint = statusCode < 400 ? ' (redirects are not followed)' : ''
  const clean = isCut ? redact.cutText(text) : redact.text(text)
  const isLong = clean.length > MAX_ERROR_SNIPPET
  const snippet = toSnippet(clean.slice(0, MAX_ERROR_SNIPPET), isCut || isLong).trim()
  return failed('error', `HTTP ${statusCode}${hint}${snippet === '' ? '' : `: ${snippet}`}`)
}

/** JSON where the endpoint says so or says nothing, and it is; text otherwise. A result that was cut says so. */
function parseResult(answer: EndpointAnswer, text: string, redact: Redact): unknown {
  if (answer.isCut) {
    return `${redact.cutText(text)}\n[cut: the result is over ${MAX_RESULT_BYTES} bytes]`
  }
  const type = headerOf(answer, 'content-type')
  if (text === '') return null
  if (type !== '' && !/^[\w.+-]+\/(?:[\w.+-]+\+)?json\s*(?:;|$)/.test(type)) {
    return redact.text(text)
  }
  try {
    return redact.json(JSON.parse(text))
  } catch {
    return redact.text(text)
  }
}

function headerOf({ headers }: EndpointAnswer, name: string): string {
  const value = headers[name]
  return (Array.isArray(value) ? (value[0] ?? '') : (value ?? '')).trim().toLowerCase()
}

function failed(outcome: CallResult['outcome'], error: string): CallResult {
  return { outcome, result: null, error }
}
