import type { Actor } from '../core/actor.ts'
import { AppError, invalidField } from '../core/error.ts'
import type { JsonSchema, makeArgsValidator } from './args.ts'
import { type BuiltinTool, builtinsFor, type May } from './builtins.ts'
import type { Called, CallRun, CheckedInvocation } from './call.ts'
import { callHashOf } from './call-hash.ts'
import type { RunnableTool } from './catalog.ts'
import { closestNames } from './closest-names.ts'
import type { ToolRateLimit } from './rate-limit.ts'
import {
  type EndedRun,
  type FinishedRun,
  type RunStart,
  RunTakenError,
  startSeconds,
} from './runs.ts'
import { fromWireArgs } from './wire-names.ts'

/** Where a run was asked for; `app`'s own key where that was an app, like `slack`. */
export type RunSource = 'chat' | 'api' | 'mcp' | (string & {})

export interface Invocation {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string | null
  readonly source: RunSource
  /** Name or wire name. */
  readonly name: string
  readonly args: unknown
  readonly signal?: AbortSignal | undefined
  /** W3C Trace Context of the request that asked; null: it had none. */
  readonly traceparent?: string | null
  /** Who sent the request, for the audit log; undefined: it was no request but a turn of the chat. */
  readonly by?: Actor | undefined
}

/** A call that waits for a person. */
export interface WaitingCall {
  readonly approvalId: string
  /** Of `tool.approval.requested`. */
  readonly eventId: string | null
  readonly tool: string
  /** Cleaned of what the tool's schema marks as secret. */
  readonly arguments: unknown
  readonly expiresAt: string
}

/** What comes of asking for a run. */
export type RunAnswer =
  | { readonly kind: 'ran'; readonly run: EndedRun }
  | { readonly kind: 'waits'; readonly waiting: WaitingCall }

export type ExternalTool = Extract<RunnableTool, { kind: 'external' }>

/** The run that an approval is good for. */
export interface HeldRun extends Omit<Invocation, 'name' | 'args'> {
  readonly approvalId: string
  readonly runId: string
  readonly tool: string
  readonly toolId: string
  readonly integrationId: string
}

/** A call that was approved: the same that was asked for, or none. */
export interface HeldCall extends HeldRun {
  readonly args: Readonly<Record<string, unknown>>
  readonly callHash: string
}

export interface InvokeDeps {
  readonly find: (orgId: string, name: string) => Promise<RunnableTool | null>
  readonly findById: (orgId: string, toolId: string) => Promise<ExternalTool | null>
  readonly names: (orgId: string, may: May) => Promise<string[]>
  readonly validate: ReturnType<typeof makeArgsValidator>['validate']
  readonly call: (
    tool: ExternalTool,
    invocation: CheckedInvocation,
    run: CallRun,
  ) => Promise<Omit<Called, 'exchange'>>
  /** Has a call wait for a person. */
  readonly hold: (tool: ExternalTool, invocation: CheckedInvocation) => Promise<RunAnswer>
  readonly runs: {
    /** Throws RunTakenError where the run exists. */
    readonly begin: (run: RunStart) => Promise<void>
    readonly end: (run: FinishedRun, by: Actor | undefined) => Promise<void>
  }
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
 * Runs tools. What an endpoint does is a value, written down in a run that exists before the call leaves. Only what the caller
 * did wrong is thrown, before any run exists: no such tool (`NOT_FOUND`), arguments that do not fit (`INVALID_BODY` with
 * details), too many runs (`RATE_LIMITED`). Holds no transaction.
 */
export function makeInvoke(deps: InvokeDeps) {
  async function perform(
    tool: RunnableTool,
    invocation: CheckedInvocation,
    runId: string,
    approvalId: string | null,
  ): Promise<FinishedRun> {
    const { orgId, userId, conversationId, source, signal, by } = invocation
    const what = whatOf(tool)
    const rateLimit = tool.kind === 'builtin' ? null : tool.rateLimit
    return deps.limited({ orgId, ...what, rateLimit, signal }, async () => {
      const startedAt = performance.now()
      const run = { id: runId, orgId, userId, conversationId, source, ...what, approvalId }
      const mayTakeS = startSeconds(tool.kind === 'builtin' ? null : tool.httpConfig)
      let isBegun = false
      const begin = async (shown: unknown, host: string | null) => {
        await deps.runs.begin({ ...run, arguments: shown, host, mayTakeS })
        isBegun = true
      }
      const called =
        tool.kind === 'external'
          ? await deps.call(tool, invocation, { id: runId, begin })
          : await runBuiltin(tool.tool, invocation, begin)
      const { outcome, result, error, arguments: shown, attempts, host } = called
      // What cannot leave is begun here, where it is approved: of two processes one says how its only run ended.
      if (approvalId !== null && !isBegun) await begin(shown, host)
      const durationMs = Math.round(performance.now() - startedAt)
      const ended = { ...run, arguments: shown, host, outcome, result, error, attempts, durationMs }
      await deps.runs.end(ended, by)
      return ended
    })
  }

  /** The run of an approved call that is not made: it says why. Throws RunTakenError where the run exists. */
  async function refuseHeld(held: HeldRun, problem: string): Promise<FinishedRun> {
    const { orgId, userId, conversationId, source, tool, toolId, integrationId, approvalId } = held
    const who = { orgId, userId, conversationId, source }
    const what = { tool, toolId, integrationId, host: null, approvalId }
    const run = { id: held.runId, ...who, ...what, arguments: {} }
    await deps.runs.begin({ ...run, mayTakeS: startSeconds(null) })
    const ended = { ...run, outcome: 'error', result: null, error: problem } as const
    const finished = { ...ended, attempts: 0, durationMs: 0 }
    await deps.runs.end(finished, undefined)
    return finished
  }

  return {
    /** Runs a tool that is there for who asks, or has its call wait for approval where the tool demands that. */
    async ask(invocation: Invocation, may: May): Promise<RunAnswer> {
      if (invocation.conversationId?.includes('\0') === true) {
        throw invalidField('conversationId', 'must not have the character U+0000')
      }
      const tool = await deps.find(invocation.orgId, invocation.name)
      if (tool === null || !(await isThereFor(tool, may))) {
        const names = await deps.names(invocation.orgId, may)
        const close = closestNames(invocation.name, names)
        const hint = close.length === 0 ? '' : ` Did you mean ${close.join(' or ')}?`
        throw new AppError('NOT_FOUND', `No such tool: ${invocation.name.slice(0, 128)}.${hint}`)
      }
      const schema = tool.kind === 'builtin' ? tool.tool.argsSchema : tool.argsSchema
      const checked = { ...invocation, args: checkArgs(deps, schema, invocation) }
      if (tool.kind === 'external' && tool.approval === 'ask') return deps.hold(tool, checked)
      return { kind: 'ran', run: await perform(tool, checked, deps.newId(), null) }
    },

    /**
     * Runs what was approved, once: the same tool with the same arguments. A tool that was changed or disabled meanwhile is not
     * called, which its run says.
     *
     * @returns null where another process has begun the run
     * @throws AppError `RATE_LIMITED`, before the run exists
     */
    async runHeld(held: HeldCall): Promise<FinishedRun | null> {
      const { orgId, toolId, tool: name, args, runId, approvalId } = held
      const invocation = { ...held, name, args }
      const tool = await deps.findById(orgId, toolId)
      try {
        if (tool === null) return await refuseHeld(held, GONE)
        if (callHashOf(tool, args) !== held.callHash) return await refuseHeld(held, CHANGED)
        return await perform(tool, invocation, runId, approvalId)
      } catch (error) {
        if (error instanceof RunTakenError) return null
        // The arguments cannot stand where they are to be filled in: no further try changes that.
        if (error instanceof AppError && error.code === 'INVALID_BODY') {
          return refuseHeld(held, error.message)
        }
        throw error
      }
    },

    /** Ends what was approved without running it. @returns null where the run has begun after all */
    async giveUpHeld(held: HeldRun, problem: string): Promise<FinishedRun | null> {
      try {
        return await refuseHeld(held, problem)
      } catch (error) {
        if (error instanceof RunTakenError) return null
        throw error
      }
    },
  }
}

const GONE = 'the tool was deleted or disabled after this call was asked for'
const CHANGED = 'the tool was changed after this call was asked for: ask again'

async function isThereFor(tool: RunnableTool, may: May): Promise<boolean> {
  return tool.kind === 'external' || (await builtinsFor([tool.tool], may)).length === 1
}

function whatOf(tool: RunnableTool) {
  return tool.kind === 'builtin'
    ? { tool: tool.tool.name, toolId: null, integrationId: null }
    : { tool: tool.name, toolId: tool.id, integrationId: tool.integrationId }
}

/** What a built-in tool says about its arguments is its outcome; anything else it throws is a bug of ours. */
async function runBuiltin(
  tool: BuiltinTool,
  invocation: CheckedInvocation,
  begin: CallRun['begin'],
): Promise<Omit<Called, 'exchange'>> {
  await begin(invocation.args, null)
  const ran = { arguments: invocation.args, attempts: 1, host: null }
  try {
    const result = await tool.run(invocation, invocation.args)
    return { ...ran, outcome: 'success', result, error: null }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { ...ran, outcome: 'error', result: null, error: error.message }
  }
}

/** Throws `INVALID_BODY` with what does not fit. */
export function checkArgs(
  deps: Pick<InvokeDeps, 'validate'>,
  schema: JsonSchema,
  { args, orgId }: Pick<Invocation, 'args' | 'orgId'>,
): Record<string, unknown> {
  const given = fromWireArgs(schema, args)
  const details = deps.validate(schema, given, orgId)
  if (details.length > 0) {
    const text = details.map((detail) => `${detail.path} ${detail.message}`).join('; ')
    throw new AppError('INVALID_BODY', text, { details })
  }
  return { ...(given as Record<string, unknown>) }
}
