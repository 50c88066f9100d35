import { AppError, invalidField } from '../core/error.ts'
import type { JsonSchema, makeArgsValidator } from './args.ts'
import type { BuiltinTool } from './builtins.ts'
import type { CallResult, CheckedInvocation } from './call.ts'
import type { RunnableTool } from './catalog.ts'
import { hostOf } from './http-config.ts'
import type { ToolRateLimit } from './rate-limit.ts'

export interface Invocation {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string | null
  readonly source: 'chat' | 'api'
  /** Name or wire name. */
  readonly name: string
  readonly args: unknown
  readonly signal?: AbortSignal | undefined
}

/** A run that has ended, whatever came of it. */
export interface FinishedRun {
  readonly id: string
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string | null
  readonly source: 'chat' | 'api'
  readonly tool: string
  readonly toolId: string | null
  readonly integrationId: string | null
  /** That was called; null: a built-in tool. */
  readonly host: string | null
  readonly arguments: unknown
  readonly outcome: 'success' | 'error' | 'timeout' | 'blocked'
  readonly result: unknown
  readonly error: string | null
  readonly durationMs: number
}

type External = Extract<RunnableTool, { kind: 'external' }>

export interface InvokeDeps {
  readonly find: (orgId: string, name: string) => Promise<RunnableTool | null>
  readonly names: (orgId: string) => Promise<string[]>
  readonly validate: ReturnType<typeof makeArgsValidator>['validate']
  readonly call: (
    tool: External,
    invocation: CheckedInvocation,
    runId: string,
  ) => Promise<CallResult & { readonly arguments: unknown }>
  /** Runs the work when the limits let it; throws `RATE_LIMITED` where they do not. */
  readonly limited: <Result>(
    run: {
      readonly orgId: string
      readonly tool: string
      readonly toolId: string | null
      readonly integrationId: string | null
      readonly rateLimit: ToolRateLimit | null
      readonly signal?: AbortSignal | undefined
    },
    work: () => Promise<Result>,
  ) => Promise<Result>
  readonly newId: () => string
}

/**
 * Runs a tool. What its endpoint does is a value; only what the caller did wrong is thrown, before any run exists: no such
 * tool (`NOT_FOUND`), arguments that do not fit (`INVALID_BODY` with details), too many runs (`RATE_LIMITED`). Holds no
 * transaction.
 */
export function makeInvoke(deps: InvokeDeps) {
  return async function invoke(invocation: Invocation): Promise<FinishedRun> {
    if (invocation.conversationId?.includes('\0') === true) {
      throw invalidField('conversationId', 'must not have the character U+0000')
    }
    const tool = await deps.find(invocation.orgId, invocation.name)
    if (tool === null) {
      const close = closest(invocation.name, await deps.names(invocation.orgId))
      const hint = close.length === 0 ? '' : ` Did you mean ${close.join(' or ')}?`
      throw new AppError('NOT_FOUND', `No such tool: ${invocation.name.slice(0, 128)}.${hint}`)
    }
    const schema = tool.kind === 'builtin' ? tool.tool.argsSchema : tool.argsSchema
    const args = checkArgs(deps, schema, invocation)
    const checked = { ...invocation, args }
    const { orgId, signal } = invocation
    const what =
      tool.kind === 'builtin'
        ? { tool: tool.tool.name, toolId: null, integrationId: null }
        : { tool: tool.name, toolId: tool.id, integrationId: tool.integrationId }
    const rateLimit = tool.kind === 'builtin' ? null : tool.rateLimit
    return deps.limited({ orgId, ...what, rateLimit, signal }, async () => {
      const id = deps.newId()
      const startedAt = performance.now()
      const called =
        tool.kind === 'external'
          ? await deps.call(tool, checked, id)
          : { ...(await runBuiltin(tool.tool, checked)), arguments: args }
      return {
        id,
        orgId,
        userId: invocation.userId,
        conversationId: invocation.conversationId,
        source: invocation.source,
        ...what,
        host: tool.kind === 'builtin' ? null : hostOf(tool.httpConfig),
        ...called,
        durationMs: Math.round(performance.now() - startedAt),
      }
    })
  }
}

/** What a built-in tool says about its arguments is its outcome; anything else it throws is a bug of ours. */
async function runBuiltin(tool: BuiltinTool, invocation: CheckedInvocation): Promise<CallResult> {
  try {
    const result = await tool.run(invocation, invocation.args)
    return { outcome: 'success', result, error: null }
  } catch (error) {
    if (error instanceof AppError) return { outcome: 'error', result: null, error: error.message }
    throw error
  }
}

function checkArgs(
  deps: InvokeDeps,
  schema: JsonSchema,
  { args: given, orgId }: Invocation,
): Record<string, unknown> {
  const details = deps.validate(schema, given, orgId)
  if (details.length > 0) {
    const text = details.map((detail) => `${detail.path} ${detail.message}`).join('; ')
    throw new AppError('INVALID_BODY', text, { details })
  }
  return { ...(given as Record<string, unknown>) }
}

/** Names that share most of their pairs of letters with the wanted one: enough to mend a model's slip. */
function closest(name: string, names: readonly string[]): string[] {
  const wanted = letterPairs(name)
  const likeness = (candidate: string) => {
    const pairs = letterPairs(candidate)
    const shared = pairs.filter((pair) => wanted.includes(pair)).length
    return (2 * shared) / Math.max(1, pairs.length + wanted.length)
  }
  return names
    .map((candidate) => ({ candidate, likeness: likeness(candidate) }))
    .filter((entry) => entry.likeness >= 0.4)
    .sort((a, b) => b.likeness - a.likeness)
    .slice(0, 3)
    .map((entry) => entry.candidate)
}

function letterPairs(name: string): string[] {
  const letters = name.toLowerCase().replace(/[^a-z0-9]/g, '')
  return Array.from({ length: Math.max(0, letters.length - 1) }, (_, at) =>
    letters.slice(at, at + 2),
  )
}
