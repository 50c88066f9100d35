import { and, eq } from 'drizzle-orm'
import { AppError, invalidField, notFound } from '../core/error.ts'
import { MAX_EVENT_DATA_BYTES } from '../core/event.ts'
import type { DbTx, Queryable } from '../db/pool.ts'
import { messages } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import { isForeignKeyViolation, type Message, toMessage } from './conversations.ts'
import type { Model, ModelMessage, ModelTool } from './model.ts'
import { type InvokeTool, makeToolbox, type Toolbox, type TurnWaiting } from './toolbox.ts'

const HISTORY_MESSAGES = 50
const MAX_ANSWER_CHARS = 100_000
/** Of the event: ids and names beside what was said. */
const EVENT_FRAME_BYTES = 4096

export interface TurnEvent {
  readonly orgId: string
  readonly type: 'chat.turn.completed'
  readonly conversationId: string
  readonly data: Record<string, unknown>
}

interface TurnDeps {
  readonly inOrg: InOrg
  readonly model: Model
  /** Newest first. Throws `NOT_FOUND` where the org has no such conversation. */
  readonly history: (orgId: string, conversationId: string, limit: number) => Promise<Message[]>
  readonly listTools: (orgId: string) => Promise<readonly ModelTool[]>
  readonly invokeTool: InvokeTool
  /** Leaves with calls that wait what a turn needs to go on when they are decided. */
  readonly prepareWait: (
    orgId: string,
    calls: readonly TurnWaiting[],
    turn: WaitingTurn,
  ) => Promise<{
    /** Gives them with the events that tell of them. */
    readonly attach: (tx: DbTx, client: Queryable) => Promise<readonly TurnWaiting[]>
    readonly committed: () => void
  }>
  readonly emit: (tx: DbTx, event: TurnEvent) => Promise<string>
  readonly newId: () => string
}

/** Where a turn came from, when that was an app. */
export interface TurnOrigin {
  readonly integrationId: string
  /** Its key, like `slack`. */
  readonly app: string
  readonly user: { readonly id: string; readonly name: string | null }
  /** The way of answers back to there, for a turn that goes on later. Not looked at here. */
  readonly way?: unknown
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
  /**
   * The turn goes on with this: what became of a call that it waited for, and its run, if there was one. `saidId` is what was
   * said first. The model answers, or, where it does not any more, `answer` is what is said.
   */
  readonly goesOnWith?:
    | { readonly note: string; readonly answer: string | null; readonly runId: string | null }
    | undefined
  /** What commits or rolls back with the turn. */
  readonly alongWith?: (tx: DbTx, client: Queryable, turn: CommittedTurn) => Promise<void>
  /** For those who watch the turn while it runs. */
  readonly onProgress?: (progress: TurnProgress) => void
}

export interface CommittedTurn {
  readonly eventId: string
  readonly userMessageId: string
  readonly assistantMessageId: string
  readonly waiting: readonly TurnWaiting[]
}

/** What a turn needs to go on: kept with each call that it waits for. */
export interface WaitingTurn {
  readonly userId: string
  readonly conversationId: string
  readonly userMessageId: string
  readonly origin: TurnOrigin | null
}

export type TurnProgress =
  | { readonly type: 'delta'; readonly text: string }
  | {
      readonly type: 'tool'
      readonly runId: string
      readonly tool: string
      readonly outcome: string
    }
  | { readonly type: 'approval'; readonly approvalId: string; readonly tool: string }

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
  /** Calls that wait for a person: the turn goes on when they are decided. */
  readonly approvals: {
    readonly approvalId: string
    readonly tool: string
    readonly expiresAt: string
  }[]
}

/**
 * One turn: the model answers and may call tools, with no transaction open; each run is written down for itself. Then the
 * messages and the turn's event are committed in one. Whatever fails before that leaves no message.
 *
 * @throws AppError `NOT_FOUND` (no such conversation, also where it is deleted meanwhile), `UNAVAILABLE` (the model)
 */
export function makeTurn(deps: TurnDeps) {
  return async function turn(input: TurnInput): Promise<Turn> {
    const { orgId, conversationId, content, goesOnWith } = input
    if (content.includes('\0')) {
      throw invalidField('content', 'must not have the character U+0000')
    }
    const toolbox = makeToolbox(deps.invokeTool, input)
    const { runTool, signal, broken } = toolbox
    const past = await deps.history(orgId, conversationId, HISTORY_MESSAGES)
    // What was said stands at the end, unless the turn goes on after what was answered since.
    const before = goesOnWith === undefined ? past.filter(({ id }) => id !== input.saidId) : past
    const last = { role: 'user' as const, content: goesOnWith?.note ?? content }
    const answer =
      typeof goesOnWith?.answer === 'string'
        ? { content: goesOnWith.answer }
        : await deps.model
            .respond({
              messages: [...before.toReversed().map(toModelMessage), last],
              tools: await deps.listTools(orgId),
              runTool,
              onDelta: (text) => input.onProgress?.({ type: 'delta', text }),
              signal,
            })
            .catch((error: unknown) => {
              throw broken() ?? toUnavailable(error)
            })
    const bug = broken()
    if (bug !== undefined) throw bug
    return commit(deps, input, toStorable(answer.content), toolbox)
  }
}

async function commit(
  deps: TurnDeps,
  input: TurnInput,
  answer: string,
  { runs, waiting }: Toolbox,
): Promise<Turn> {
  const { orgId, userId, conversationId, content, origin } = input
  const userMessageId = input.saidId ?? deps.newId()
  const assistantMessageId = deps.newId()
  const waitedFor = typeof input.goesOnWith?.runId === 'string' ? [input.goesOnWith.runId] : []
  const wait = await deps.prepareWait(orgId, waiting, {
    userId,
    conversationId,
    userMessageId,
    origin: origin ?? null,
  })
  const rows = await deps.inOrg(orgId, async (tx, client) => {
    if (origin?.isAnsweredThere === true) await exceptFor(client, origin.integrationId)
    const both = await writeMessages(tx, input, userMessageId, {
      id: assistantMessageId,
      content: answer,
      model: deps.model.name,
    })
    const eventId = await deps.emit(tx, {
      orgId,
      type: 'chat.turn.completed',
      conversationId,
      data: {
        assistantMessageId,
        userMessageId,
        model: deps.model.name,
        toolRunIds: [...waitedFor, ...runs.map((run) => run.id)],
        ...(origin === undefined
          ? {}
          : { via: { integrationId: origin.integrationId, user: origin.user } }),
        content: toEventContent(content, answer),
      },
    })
    const told = await wait.attach(tx, client)
    const committed = { eventId, userMessageId, assistantMessageId, waiting: told }
    await input.alongWith?.(tx, client, committed)
    return both
  })
  wait.committed()
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
    approvals: waiting.map(({ approvalId, tool, expiresAt }) => ({ approvalId, tool, expiresAt })),
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
