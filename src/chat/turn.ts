import { AppError, notFound } from '../core/error.ts'
import type { Db, DbTx } from '../db/pool.ts'
import { messages } from '../db/schema.ts'
import { type Message, toMessage } from './conversations.ts'
import type { Model, ModelMessage, ModelTool, ToolAnswer } from './model.ts'

const HISTORY_MESSAGES = 50
const MAX_TOOL_ANSWER_CHARS = 50_000
const MAX_RUNS = 16

/** What a turn needs to know of a run that has ended. */
export interface TurnRun {
  readonly id: string
  readonly tool: string
  readonly outcome: string
  readonly result: unknown
  readonly error: string | null
  readonly durationMs: number
}

export interface TurnEvent {
  readonly orgId: string
  readonly type: 'chat.turn.completed'
  readonly conversationId: string
  readonly data: Record<string, unknown>
}

interface TurnDeps<Run extends TurnRun> {
  readonly db: Db
  readonly model: Model
  readonly history: (orgId: string, conversationId: string, limit: number) => Promise<Message[]>
  readonly listTools: (orgId: string) => Promise<readonly ModelTool[]>
  readonly invokeTool: (call: {
    readonly orgId: string
    readonly userId: string
    readonly conversationId: string
    readonly source: 'chat'
    readonly name: string
    readonly args: unknown
    readonly signal: AbortSignal
  }) => Promise<Run>
  readonly recordRun: (tx: DbTx, run: Run) => Promise<void>
  readonly emit: (tx: DbTx, event: TurnEvent) => Promise<string>
  readonly newId: () => string
}

export interface TurnInput {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string
  readonly content: string
  readonly signal: AbortSignal
  /** For those who watch the turn while it runs. */
  readonly onProgress?: (progress: TurnProgress) => void
}

export type TurnProgress =
  | { readonly type: 'delta'; readonly text: string }
  | { readonly type: 'tool'; readonly tool: string; readonly outcome: string }

export interface Turn {
  readonly userMessage: Message
  readonly assistantMessage: Message
  readonly toolRuns: {
    readonly runId: string
    readonly tool: string
    readonly outcome: string
    readonly durationMs: number
    readonly error: string | null
  }[]
}

/**
 * One turn: the model answers and may call tools, with no transaction open; then messages, runs and events are committed in
 * one. Whatever fails before that leaves nothing.
 */
export function makeTurn<Run extends TurnRun>(deps: TurnDeps<Run>) {
  return async function turn(input: TurnInput): Promise<Turn> {
    const { orgId, userId, conversationId, content, signal } = input
    const [past, tools] = await Promise.all([
      deps.history(orgId, conversationId, HISTORY_MESSAGES),
      deps.listTools(orgId),
    ])
    const runs: Run[] = []
    const runTool = async (name: string, args: unknown): Promise<ToolAnswer> => {
      if (runs.length >= MAX_RUNS)
        return { isOk: false, content: 'too many tool calls in one turn' }
      try {
        const call = { orgId, userId, conversationId, source: 'chat', name, args, signal } as const
        const run = await deps.invokeTool(call)
        runs.push(run)
        input.onProgress?.({ type: 'tool', tool: run.tool, outcome: run.outcome })
        return toAnswer(run)
      } catch (error) {
        // A name or arguments that do not fit are the model's slip: it is told, and may try again.
        if (error instanceof AppError) return { isOk: false, content: error.message }
        throw error
      }
    }
    const answer = await deps.model.respond({
      messages: [...past.toReversed().map(toModelMessage), { role: 'user', content }],
      tools,
      runTool,
      onDelta: (text) => input.onProgress?.({ type: 'delta', text }),
      signal,
    })
    return commit(deps, input, answer.content, runs)
  }
}

async function commit<Run extends TurnRun>(
  deps: TurnDeps<Run>,
  { orgId, userId, conversationId, content }: TurnInput,
  answer: string,
  runs: readonly Run[],
): Promise<Turn> {
  const userMessageId = deps.newId()
  const assistantMessageId = deps.newId()
  const rows = await deps.db.transaction(async (tx) => {
    const both = await tx
      .insert(messages)
      .values([
        { id: userMessageId, orgId, conversationId, role: 'user', content, userId },
        {
          id: assistantMessageId,
          orgId,
          conversationId,
          role: 'assistant',
          content: answer,
          model: deps.model.name,
        },
      ])
      .returning()
      .catch((error: unknown) => {
        // The conversation was deleted while the model was thinking.
        throw isForeignKeyViolation(error) ? notFound('conversation') : error
      })
    for (const run of runs) await deps.recordRun(tx, run)
    await deps.emit(tx, {
      orgId,
      type: 'chat.turn.completed',
      conversationId,
      data: {
        assistantMessageId,
        userMessageId,
        model: deps.model.name,
        toolRunIds: runs.map((run) => run.id),
        content: { user: content, assistant: answer },
      },
    })
    return both
  })
  const [userMessage, assistantMessage] = rows.map(toMessage)
  if (userMessage === undefined || assistantMessage === undefined) {
    throw new Error('insert returned no row')
  }
  return {
    userMessage,
    assistantMessage,
    toolRuns: runs.map(({ id, tool, outcome, durationMs, error }) => ({
      runId: id,
      tool,
      outcome,
      durationMs,
      error,
    })),
  }
}

function toModelMessage({ role, content }: Message): ModelMessage {
  return { role, content }
}

function toAnswer(run: TurnRun): ToolAnswer {
  if (run.outcome !== 'success') return { isOk: false, content: run.error ?? run.outcome }
  const text = typeof run.result === 'string' ? run.result : JSON.stringify(run.result)
  return {
    isOk: true,
    content:
      text.length <= MAX_TOOL_ANSWER_CHARS
        ? text
        : `${text.slice(0, MAX_TOOL_ANSWER_CHARS).toWellFormed()}\n[cut: ${text.length} characters in all]`,
  }
}

function isForeignKeyViolation(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === '23503'
}
