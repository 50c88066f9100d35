import { cutMiddle } from '../core/cut.ts'
import { AppError } from '../core/error.ts'
import type { ToolAnswer } from './model.ts'

/** Of one tool's result: what is longer would crowd everything else out of the model's context. */
const MAX_ANSWER_CHARS = 50_000
/** Calls of one turn. */
const MAX_CALLS = 16

/** What a turn needs to know of a run that has ended. */
export interface TurnRun {
  readonly id: string
  readonly tool: string
  readonly outcome: string
  readonly result: unknown
  readonly error: string | null
  readonly durationMs: number
}

/** A tool call of a turn that waits for a person. */
export interface TurnWaiting {
  readonly approvalId: string
  readonly eventId: string | null
  readonly tool: string
  readonly expiresAt: string
}

export type InvokeTool = (call: {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string
  readonly source: string
  readonly name: string
  readonly args: unknown
  readonly signal: AbortSignal
}) => Promise<
  | { readonly kind: 'ran'; readonly run: TurnRun }
  | { readonly kind: 'waits'; readonly waiting: TurnWaiting }
>

export type ToolboxProgress =
  | {
      readonly type: 'tool'
      readonly runId: string
      readonly tool: string
      readonly outcome: string
    }
  | { readonly type: 'approval'; readonly approvalId: string; readonly tool: string }

interface TurnOfTools {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string
  readonly signal: AbortSignal
  readonly origin?: { readonly app: string } | undefined
  readonly onProgress?: (progress: ToolboxProgress) => void
}

export type Toolbox = ReturnType<typeof makeToolbox>

/** What a model runs tools with in one turn, and what came of it. */
export function makeToolbox(invokeTool: InvokeTool, turn: TurnOfTools) {
  const { orgId, userId, conversationId, onProgress } = turn
  const runs: TurnRun[] = []
  const waiting: TurnWaiting[] = []
  const stop = new AbortController()
  const signal = AbortSignal.any([turn.signal, stop.signal])
  const source = turn.origin?.app ?? 'chat'
  let calls = 0
  let bug: unknown

  async function call(name: string, args: unknown): Promise<ToolAnswer> {
    const answer = await invokeTool({ orgId, userId, conversationId, source, name, args, signal })
    if (answer.kind === 'waits') {
      const { approvalId, tool } = answer.waiting
      if (!waiting.some((other) => other.approvalId === approvalId)) waiting.push(answer.waiting)
      onProgress?.({ type: 'approval', approvalId, tool })
      return { isOk: true, isWaiting: true, content: waitingText(answer.waiting) }
    }
    const { run } = answer
    runs.push(run)
    onProgress?.({ type: 'tool', runId: run.id, tool: run.tool, outcome: run.outcome })
    return toToolAnswer(run)
  }

  return {
    runs,
    waiting,
    signal,
    /** What broke that is no model's business; the turn ends with it. */
    broken: () => bug,
    runTool: async (name: string, args: unknown): Promise<ToolAnswer> => {
      calls += 1
      if (calls > MAX_CALLS) return { isOk: false, content: 'too many tool calls in one turn' }
      try {
        return await call(name, args)
      } catch (error) {
        // A name or arguments that do not fit are the model's slip: it is told, and may try again.
        if (error instanceof AppError) return { isOk: false, content: error.message }
        bug ??= error
        stop.abort()
        return { isOk: false, content: 'broke' }
      }
    },
  }
}

/** A run as a model reads it; of a long result the beginning and the end. */
export function toToolAnswer({ outcome, error, result }: TurnRun): ToolAnswer {
  if (outcome !== 'success') return { isOk: false, content: error ?? outcome }
  const text = typeof result === 'string' ? result : JSON.stringify(result)
  return { isOk: true, content: cutMiddle(text, MAX_ANSWER_CHARS) }
}

function waitingText({ approvalId, tool, expiresAt }: TurnWaiting): string {
  return `This call of ${tool} has not run: it waits until a person approves it (approval ${approvalId}, until ${expiresAt}). Tell the user that. Do not call it again: you are told what came of it when it is decided.`
}
