import { headersProblem } from '../core/header.ts'
import { makeRedact, type Redact } from '../core/redact.ts'
import type { Egress } from '../egress/egress.ts'
import { type CallResult, type EndpointAnswer, failed, toCallResult } from './call-result.ts'
import type { RunnableTool } from './catalog.ts'
import { type EndpointVerdict, judgeEndpoint, type makeCircuit } from './circuit.ts'
import type { ToolHost } from './definitions.ts'
import { fillRequest, missingFilling, secretsOf } from './fill.ts'
import { type HttpConfig, hostOf } from './http-config.ts'
import type { Invocation } from './invoke.ts'
import { hideMarked, secretsIn } from './marks.ts'
import type { McpCall, McpCalled } from './mcp/client/client.ts'
import type { makeSendCall, ReadyCall } from './send-call.ts'

const DEFAULT_TIMEOUT_MS = 10_000

/** A call whose arguments are known to fit. */
export interface CheckedInvocation extends Invocation {
  readonly args: Readonly<Record<string, unknown>>
  /** Somebody tries the tool: its endpoint is told. */
  readonly isTest?: boolean
}

/** The run that a call is made for. */
export interface CallRun {
  readonly id: string
  /** Writes the run down, with its arguments as they may be kept. Nothing leaves before it has. */
  readonly begin: (shownArguments: unknown, host: string | null) => Promise<void>
}

export interface Called extends CallResult {
  /** As they may be kept. */
  readonly arguments: unknown
  /** Requests that left. */
  readonly attempts: number
  /** That was called, or would have been; null: it is not known any more. */
  readonly host: string | null
  /** For whoever tries a tool: what was sent and answered, secrets and all, and what takes them out. */
  readonly exchange: Exchange | null
}

export interface Exchange {
  readonly method: string
  readonly url: string
  /** Name, value, … */
  readonly headers: readonly string[]
  readonly body: string | null
  readonly answer: EndpointAnswer | null
  readonly redact: Redact
}

/** Its integration's config is read with the credentials. */
export type CalledTool = Omit<Extract<RunnableTool, { kind: 'external' }>, 'config'>

interface CallDeps {
  readonly egress: Pick<Egress, 'judge'>
  readonly sendCall: ReturnType<typeof makeSendCall>
  readonly callMcp: (call: McpCall) => Promise<McpCalled>
  readonly circuit: ReturnType<typeof makeCircuit>
  readonly loadHost: (orgId: string, integrationId: string) => Promise<ToolHost | null>
  readonly contextToken: (context: {
    readonly orgId: string
    readonly userId: string
    readonly conversationId: string | null
    readonly tool: string
    readonly runId: string
    readonly audience: string
  }) => Promise<string>
  readonly userAgent: string
}

type Prepared =
  | { readonly kind: 'problem'; readonly result: CallResult }
  | { readonly kind: 'ready'; readonly call: Omit<ReadyCall, 'contextToken'>; readonly url: string }

/**
 * Calls the endpoint of an external tool. Credentials go in; what comes out, the arguments to be kept included, is cleaned
 * of them and of what the tool's schemas mark as secret. What the endpoint does is a value.
 *
 * @throws AppError `INVALID_BODY` for arguments that cannot stand in the URL, before the run is begun
 */
export function makeCall(deps: CallDeps) {
  return async function call(
    tool: CalledTool,
    invocation: CheckedInvocation,
    run: CallRun,
  ): Promise<Called> {
    const { args, orgId } = invocation
    const marked = hideMarked(tool.argsSchema, args)
    const host = await deps.loadHost(orgId, tool.integrationId)
    if (host === null || !host.isEnabled) {
      return unsent(failed('error', 'its integration is disabled'), marked, null)
    }
    const at = tool.httpConfig === null ? mcpHostOf(host) : hostOf(tool.httpConfig)
    const secrets = [...secretsOf(host, tool.httpConfig), ...secretsIn(tool.argsSchema, args)]
    const shown = makeRedact(secrets).json(marked)
    const prepared =
      tool.httpConfig === null
        ? null
        : prepare(deps, tool, tool.httpConfig, host, invocation, run.id)
    if (prepared?.kind === 'problem') return unsent(prepared.result, shown, at)
    const gate = deps.circuit.enter(tool.id, invocation.isTest)
    if (gate.isOpen) {
      const text = `its endpoint has failed ${gate.failures} times in a row; it is tried again in ${gate.retryAfterS} s`
      return unsent(failed('error', text), shown, at)
    }
    let health: EndpointVerdict = 'neither'
    try {
      // Before there is a run: where it cannot be had, nothing was tried.
      const contextToken =
        prepared === null ? null : await tokenFor(deps, prepared.url, tool, invocation, run.id)
      await run.begin(shown, at)
      const called =
        prepared === null || contextToken === null
          ? await callOnServer(deps, tool, host, invocation, run.id, makeRedact(secrets))
          : await send(deps, prepared, contextToken, secrets)
      health = called.health
      const result = hideMarked(tool.outputSchema ?? {}, called.result.result)
      const { attempts, exchange } = called
      return { ...called.result, result, arguments: shown, attempts, host: at, exchange }
    } finally {
      gate.report(health)
    }
  }
}

function unsent(result: CallResult, shown: unknown, host: string | null): Called {
  return { ...result, arguments: shown, attempts: 0, host, exchange: null }
}

function mcpHostOf({ config }: ToolHost): string | null {
  const { url } = config
  return typeof url === 'string' && URL.canParse(url) ? new URL(url).host : null
}

async function callOnServer(
  deps: CallDeps,
  tool: CalledTool,
  host: ToolHost,
  { orgId, args, signal, traceparent }: CheckedInvocation,
  runId: string,
  redact: Redact,
) {
  const { argsSchema, sourceKey } = tool
  const name = sourceKey ?? tool.name
  const trace = traceparent ?? undefined
  const call = { orgId, host, name, args, argsSchema, runId, traceparent: trace, signal }
  const { result, health } = await deps.callMcp(call)
  const { outcome, error } = result
  const clean = {
    outcome,
    result: redact.json(result.result),
    error: error === null ? null : redact.text(error),
  }
  return { result: clean, health, attempts: 1, exchange: null }
}

function tokenFor(
  deps: CallDeps,
  url: string,
  tool: CalledTool,
  { orgId, userId, conversationId }: CheckedInvocation,
  runId: string,
): Promise<string> {
  const audience = new URL(url).origin
  return deps.contextToken({ orgId, userId, conversationId, tool: tool.name, runId, audience })
}

async function send(
  deps: CallDeps,
  { call, url }: Extract<Prepared, { kind: 'ready' }>,
  contextToken: string,
  secrets: readonly string[],
) {
  const sent = await deps.sendCall({ ...call, contextToken })
  const { method, body } = call
  const { headers } = sent
  const redact = makeRedact([...secrets, ...proofsIn(headers)])
  const answer = sent.answer.kind === 'answer' ? sent.answer : null
  return {
    result: toCallResult(sent.answer, redact),
    health: judgeEndpoint(sent.answer),
    attempts: sent.attempts,
    exchange: { method, url, headers, body, answer, redact },
  }
}

const PROOFS = new Set(['x-ai-chat-context', 'x-ai-chat-signature', 'webhook-signature'])

/** What makes the endpoint believe the call: who reads its answer could make the same call past Patchbay. */
function proofsIn(headers: readonly string[]): string[] {
  return headers.flatMap((value, at) =>
    at % 2 === 1 && PROOFS.has((headers[at - 1] ?? '').toLowerCase()) ? value.split(' ') : [],
  )
}

function prepare(
  { egress, userAgent }: CallDeps,
  tool: CalledTool,
  config: HttpConfig,
  host: ToolHost,
  invocation: CheckedInvocation,
  runId: string,
): Prepared {
  const problem = (result: CallResult) => ({ kind: 'problem', result }) as const
  const missing = missingFilling(config, host)
  if (missing !== null) {
    return problem(failed('error', `its integration has no ${missing} any more`))
  }
  const { orgId, signal, traceparent = null } = invocation
  const { network, domains, signingSecrets } = host
  const { url, headers: own, body, contentType } = fillRequest(config, host, invocation, runId)
  const verdict = egress.judge(url, { orgId, network, domains })
  if (!verdict.isAllowed) return problem(failed('blocked', `the URL ${verdict.reason}`))

  // A credential may have what no header may: what is filled in is judged as what is written down.
  const wrong = headersProblem(Object.fromEntries(own))
  if (wrong !== null) {
    const which = wrong.name === '' ? 'has headers with' : `header ${wrong.name}`
    return problem(failed('error', `the tool's ${which} ${wrong.message}`))
  }
  const headers = [...own.flat(), 'user-agent', userAgent]
  if (contentType !== null) headers.push('content-type', contentType)
  if (invocation.isTest === true) headers.push('X-AI-Chat-Test', 'true')
  const { method, timeoutMs = DEFAULT_TIMEOUT_MS } = config
  const call = {
    target: verdict.target,
    network,
    method,
    headers,
    body,
    timeoutMs,
    isRepeatable: method === 'GET' || config.isIdempotent === true,
    tool: tool.name,
    runId,
    signingSecrets,
    traceparent,
    signal,
  }
  return { kind: 'ready', call, url }
}
