import { and, eq } from 'drizzle-orm'
import { AppError, invalidField, notFound } from '../core/error.ts'
import { MAX_EVENT_DATA_BYTES } from '../core/event.ts'
import type { DbTx, Queryable } from '../db/pool.ts'
import { messages } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import { isForeignKeyViolation, type Message, toMessage } from './conversations.ts'
import type { Model, ModelMessage, ModelTool, ToolAnswer } from './model.ts'

const HISTORY_MESSAGES = 50
const MAX_TOOL_ANSWER_CHARS = 50_000
const MAX_ANSWER_CHARS = 100_000
const MAX_RUNS = 16
/** Of the event: ids and names beside what was said. */
const EVENT_FRAME_BYTES = 4096

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
  readonly inOrg: InOrg
  readonly model: Model
  /** Newest first. Throws `NOT_FOUND` where the org has no such conversation. */
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

/** Where a turn came from, when that was an app. */
export interface TurnOrigin {
  readonly integrationId: string
  readonly user: { readonly id: string; readonly name: string | null }
  /** The answer goes back to where it was asked, so that the integration's subscriptions are not told of the turn. */
  readonly isAnsweredThere: boolean
}

export interface TurnInput {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string
  readonly content: string
  readonly signal: AbortSignal
  readonly origin?: TurnOrigin | undefined
  /** The user's message, where it stands in the conversation already. */
  readonly saidId?: string | undefined
  /** What commits or rolls back with the turn. */
  readonly alongWith?: (tx: DbTx, client: Queryable, turn: CommittedTurn) => Promise<void>
  /** For those who watch the turn while it runs. */
  readonly onProgress?: (progress: TurnProgress) => void
}

export interface CommittedTurn {
  readonly eventId: string
  readonly userMessageId: string
  readonly assistantMessageId: string
}

export type TurnProgress =
  | { readonly type: 'delta'; readonly text: string }
  | {
      readonly type: 'tool'
      readonly runId: string
      readonly tool: string
      readonly outcome: string
    }

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
 *
 * @throws AppError `NOT_FOUND` (no such conversation, also where it is deleted meanwhile), `UNAVAILABLE` (the model)
 */
export function makeTurn<Run extends TurnRun>(deps: TurnDeps<Run>) {
  return async function turn(input: TurnInput): Promise<Turn> {
    const { orgId, conversationId, content } = input
    if (content.includes('\0')) {
      throw invalidField('content', 'must not have the character U+0000')
    }
    const past = (await deps.history(orgId, conversationId, HISTORY_MESSAGES)).filter(
      ({ id }) => id !== input.saidId,
    )
    const tools = await deps.listTools(orgId)
    const { runTool, runs, signal, broken } = makeToolbox(deps, input)
    const answer = await deps.model
      .respond({
        messages: [...past.toReversed().map(toModelMessage), { role: 'user', content }],
        tools,
        runTool,
        onDelta: (text) => input.onProgress?.({ type: 'delta', text }),
        signal,
      })
      .catch((error: unknown) => {
        throw broken() ?? toUnavailable(error)
      })
    const bug = broken()
    if (bug !== undefined) throw bug
    return commit(deps, input, toStorable(answer.content), runs)
  }
}

/** What a model runs tools with, and what came of it. */
function makeToolbox<Run extends TurnRun>(deps: TurnDeps<Run>, input: TurnInput) {
  const { orgId, userId, conversationId } = input
  const runs: Run[] = []
  const stop = new AbortController()
  const signal = AbortSignal.any([input.signal, stop.signal])
  let calls = 0
  let bug: unknown

  const runTool = async (name: string, args: unknown): Promise<ToolAnswer> => {
    calls += 1
    if (calls > MAX_RUNS) return { isOk: false, content: 'too many tool calls in one turn' }
    try {
      const call = { orgId, userId, conversationId, source: 'chat', name, args, signal } as const
      const run = await deps.invokeTool(call)
      runs.push(run)
      input.onProgress?.({ type: 'tool', runId: run.id, tool: run.tool, outcome: run.outcome })
      return toAnswer(run)
    } catch (error) {
      // A name or arguments that do not fit are the model's slip: it is told, and may try again.
      if (error instanceof AppError) return { isOk: false, content: error.message }
      // Ours, and no model's business: whatever it makes of it, the turn ends with this error.
      bug ??= error
      stop.abort()
      return { isOk: false, content: 'broke' }
    }
  }
  return { runTool, runs, signal, broken: () => bug }
}

async function commit<Run extends TurnRun>(
  deps: TurnDeps<Run>,
  input: TurnInput,
  answer: string,
  runs: readonly Run[],
): Promise<Turn> {
  const { orgId, conversationId, content, origin } = input
  const userMessageId = input.saidId ?? deps.newId()
  const assistantMessageId = deps.newId()
  const rows = await deps.inOrg(orgId, async (tx, client) => {
    if (origin?.isAnsweredThere === true) await exceptFor(client, origin.integrationId)
    const both = await writeMessages(tx, input, userMessageId, {
      id: assistantMessageId,
      content: answer,
      model: deps.model.name,
    })
    for (const run of runs) await deps.recordRun(tx, run)
    const eventId = await deps.emit(tx, {
      orgId,
      type: 'chat.turn.completed',
      conversationId,
      data: {
        assistantMessageId,
        userMessageId,
        model: deps.model.name,
        toolRunIds: runs.map((run) => run.id),
        ...(origin === undefined
          ? {}
          : { via: { integrationId: origin.integrationId, user: origin.user } }),
        content: toEventContent(content, answer),
      },
    })
    await input.alongWith?.(tx, client, { eventId, userMessageId, assistantMessageId })
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

/** For what this transaction emits from here on. */
async function exceptFor(client: Queryable, integrationId: string): Promise<void> {
  await client.query({
    text: `select set_config('patchbay.except_for', $1, true)`,
    values: [integrationId],
  })
}

/** @returns the user's message and the assistant's */
async function writeMessages(
  tx: DbTx,
  { orgId, userId, conversationId, content, origin, saidId }: TurnInput,
  userMessageId: string,
  answer: { readonly id: string; readonly content: string; readonly model: string },
) {
  const said = {
    id: userMessageId,
    orgId,
    conversationId,
    role: 'user' as const,
    content,
    userId,
    integrationId: origin?.integrationId ?? null,
    externalUser: origin?.user ?? null,
  }
  const answered = { ...answer, orgId, conversationId, role: 'assistant' as const }
  const written = await tx
    .insert(messages)
    .values(saidId === undefined ? [said, answered] : [answered])
    .returning()
    .catch((error: unknown) => {
      // The conversation was deleted while the model was thinking.
      throw isForeignKeyViolation(error) ? notFound('conversation') : error
    })
  if (saidId === undefined) return written
  const kept = await tx
    .select()
    .from(messages)
    .where(and(eq(messages.orgId, orgId), eq(messages.id, saidId)))
  return [...kept, ...written]
}

function toUnavailable(cause: unknown): AppError {
  if (cause instanceof AppError) return cause
  return new AppError('UNAVAILABLE', 'The model could not answer. Nothing was saved.', { cause })
}

/** An answer as the database can hold it. */
function toStorable(answer: string): string {
  const text = answer.replaceAll('\0', '\ufffd').toWellFormed()
  return text.length <= MAX_ANSWER_CHARS
    ? text
    : `${text.slice(0, MAX_ANSWER_CHARS).toWellFormed()}\n[cut: ${text.length} characters in all]`
}

/** What was said, as much as an event can carry; a text that was cut says so. */
function toEventContent(user: string, assistant: string) {
  const room = MAX_EVENT_DATA_BYTES - EVENT_FRAME_BYTES
  const said = cutToJsonBytes(user, room / 2)
  return { user: said, assistant: cutToJsonBytes(assistant, room - jsonBytes(said)) }
}

function cutToJsonBytes(text: string, maxBytes: number): string {
  if (jsonBytes(text) <= maxBytes) return text
  const mark = `… [cut: ${text.length} characters in all]`
  let kept = text
  while (jsonBytes(kept + mark) > maxBytes) kept = kept.slice(0, Math.floor(kept.length * 0.9))
  return kept.toWellFormed() + mark
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text))
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
