import type { Actor } from '../core/actor.ts'
import type { Called, CalledTool, CallRun, CheckedInvocation } from './call.ts'
import type { ExternalTool } from './definitions.ts'
import { checkArgs, type InvokeDeps } from './invoke.ts'
import { type FinishedRun, type RunStart, startSeconds } from './runs.ts'
import { type ShownExchange, showExchange } from './show-exchange.ts'

/** What came of a try, and what went over the line for it. */
export interface Tried extends ShownExchange {
  readonly runId: string
  readonly outcome: FinishedRun['outcome']
  readonly error: string | null
  /** As whoever runs the tool gets it. */
  readonly result: unknown
  readonly durationMs: number
}

export interface TryRequest {
  readonly orgId: string
  readonly integrationId: string
  readonly toolId: string
  readonly args: unknown
  readonly traceparent: string | null
  readonly signal: AbortSignal
}

interface TryDeps extends Pick<InvokeDeps, 'validate' | 'limited' | 'newId'> {
  /** Throws `NOT_FOUND`. */
  readonly find: (orgId: string, integrationId: string, toolId: string) => Promise<ExternalTool>
  readonly call: (tool: CalledTool, invocation: CheckedInvocation, run: CallRun) => Promise<Called>
  readonly runs: {
    readonly begin: (run: RunStart) => Promise<void>
    readonly end: (run: FinishedRun, by: Actor, action: 'tool.tested') => Promise<void>
  }
}

/**
 * Calls a tool for the person who sets it up, and shows what went over the line, without secrets. A real call and a run like
 * any other, within the same limits; but also of a tool that is disabled, and at once where it would have to be approved:
 * who may set a tool up may approve it. Whatever the endpoint does is an answer.
 *
 * @throws AppError `NOT_FOUND`, `INVALID_BODY` or `RATE_LIMITED`, before there is a run
 */
export function makeTryTool({ find, validate, limited, call, runs, newId }: TryDeps) {
  return async function tryTool(request: TryRequest, by: Actor): Promise<Tried> {
    const { orgId, integrationId, toolId, traceparent, signal } = request
    const tool = await find(orgId, integrationId, toolId)
    const args = checkArgs({ validate }, tool.argsSchema, request)
    const { name, rateLimit, httpConfig } = tool
    const what = { orgId, tool: name, toolId, integrationId }
    return limited({ ...what, rateLimit, signal }, async () => {
      const startedAt = performance.now()
      const id = newId()
      const who = { userId: by.principalId, conversationId: null, source: 'api' }
      const start = { id, ...what, ...who, approvalId: null }
      const mayTakeS = startSeconds(httpConfig)
      const begin = (shown: unknown, host: string | null) =>
        runs.begin({ ...start, arguments: shown, host, mayTakeS })
      const invocation = { orgId, ...who, name, args, traceparent, signal, isTest: true }
      const called = await call({ ...tool, kind: 'external' }, invocation, { id, begin })
      const { exchange, ...came } = called
      const durationMs = Math.round(performance.now() - startedAt)
      await runs.end({ ...start, ...came, durationMs }, by, 'tool.tested')
      const { outcome, error, result } = came
      const shown = showExchange(exchange, tool.outputSchema)
      return { runId: id, outcome, error, result, durationMs, ...shown }
    })
  }
}
