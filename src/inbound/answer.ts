import { AppError } from '../core/error.ts'
import type { DbTx, Queryable } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Log } from '../telemetry/log.ts'
import { type InboxEntry, MAX_TRIES, type makeInbox, markAnswered, markBegun } from './inbox.ts'
import { notify } from './replies.ts'
import type { makeThreads } from './threads.ts'
import { makeSubscriptionFor, oweTurn, type Way, type WayBackDeps } from './way-back.ts'

const FIRST_RETRY_S = 2
const TURN_TIMEOUT_MS = 120_000
const MAX_TITLE_LENGTH = 80
const SORRY = 'I could not answer that just now. Please ask again in a few minutes.'

interface TurnCall {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string
  readonly content: string
  readonly signal: AbortSignal
  readonly origin: {
    readonly integrationId: string
    readonly app: string
    readonly user: { readonly id: string; readonly name: string | null }
    readonly way: Way
    readonly isAnsweredThere: boolean
  }
  readonly saidId: string | undefined
  readonly alongWith: (
    tx: DbTx,
    client: Queryable,
    turn: {
      readonly eventId: string
      readonly userMessageId: string
      readonly assistantMessageId: string
      readonly waiting: readonly { readonly eventId: string | null }[]
    },
  ) => Promise<void>
}

interface AnswerDeps extends WayBackDeps {
  readonly inOrg: InOrg
  readonly inbox: ReturnType<typeof makeInbox>
  readonly threads: ReturnType<typeof makeThreads>
  readonly turn: (call: TurnCall) => Promise<unknown>
  /** In the caller's transaction; the conversation's id. */
  readonly beginConversation: (
    tx: DbTx,
    orgId: string,
    userId: string,
    title: string,
  ) => Promise<string>
  readonly messageText: (orgId: string, messageId: string) => Promise<string | null>
  /** Something became ready. */
  readonly wake: () => void
  readonly log: Log
}

/** Whether the answer is brought by whoever asked for the work, and not by a delivery. Asked when the turn commits. */
export type IsBroughtByCaller = () => boolean

/** null: it is at its end; otherwise it is worth another try after so many seconds. */
export type Answered = { readonly againInS: number | null; readonly answerId: string | null }

const NOT_MINE: Answered = { againInS: null, answerId: null }

/** The question is another process's by now: the turn is rolled back. */
class LostError extends Error {
  override readonly name = 'LostError'
}

/**
 * Answers what somebody asked in an app: one turn in its conversation, then the answer on its way back.
 *
 *   waiting ─▶ taken ─▶ turn committed (with it: who answered, and what is owed) ─▶ brought ─▶ done
 *                 └───▶ again, later ─▶ … ─▶ failed: the asker is told
 *
 * The turn's transaction writes down that it is the answer, fenced by the lease: however often a question comes or a process
 * dies, it gets one turn.
 */
export function makeAnswerQuestion(deps: AnswerDeps) {
  const { inOrg, inbox, threads, log } = deps

  async function conversationFor(entry: InboxEntry): Promise<string> {
    const { orgId, integrationId, question } = entry
    const { where } = question
    if (where !== null && 'conversationId' in where) return where.conversationId
    const place = where === null ? null : { orgId, integrationId, channel: where.channel }
    const known =
      place === null || where === null ? null : await threads.conversationOf(place, where.thread)
    if (known !== null) return known
    if (place === null && entry.conversationId !== null) return entry.conversationId
    const title = question.text.slice(0, MAX_TITLE_LENGTH).toWellFormed()
    const id = await inOrg(orgId, async (tx, client) => {
      const begun = await deps.beginConversation(tx, orgId, userOf(entry), title)
      await markBegun(client, entry, begun)
      return begun
    })
    if (place === null || where === null) return id
    await threads.remember({ ...place, conversationId: id }, where.thread)
    // Where another process was first, that one's conversation is the thread's.
    return (await threads.conversationOf(place, where.thread)) ?? id
  }

  const subscriptionOf = makeSubscriptionFor(deps)
  const subscriptionFor = ({ orgId, integrationId, providerKey, question }: InboxEntry) =>
    subscriptionOf(orgId, integrationId, providerKey, question)

  /** @returns the answer's message */
  async function commitTurn(
    entry: InboxEntry,
    conversationId: string,
    isBroughtByCaller: IsBroughtByCaller,
    signal: AbortSignal,
  ): Promise<string> {
    const { orgId, integrationId, providerKey, question } = entry
    const subscriptionId = await subscriptionFor(entry)
    let answerId = ''
    await deps.turn({
      orgId,
      userId: userOf(entry),
      conversationId,
      content: question.text,
      signal: AbortSignal.any([signal, AbortSignal.timeout(TURN_TIMEOUT_MS)]),
      origin: {
        integrationId,
        app: providerKey,
        user: question.user,
        way: { providerKey, where: question.where, answer: question.answer },
        isAnsweredThere: question.answer !== 'event',
      },
      saidId: question.saidId ?? undefined,
      alongWith: async (_, client, turn) => {
        answerId = turn.assistantMessageId
        const isMine = await markAnswered(client, entry, {
          conversationId,
          messageId: turn.userMessageId,
          answerId,
          isBrought: typeof question.answer === 'string',
        })
        if (!isMine) throw new LostError('the question is being answered by another process')
        if (subscriptionId !== null && !isBroughtByCaller()) {
          await oweTurn(client, orgId, subscriptionId, turn)
        }
      },
    })
    deps.wake()
    return answerId
  }

  async function work(
    entry: InboxEntry,
    isBroughtByCaller: IsBroughtByCaller,
    signal: AbortSignal,
  ): Promise<string> {
    const { orgId, providerKey, question } = entry
    const answerId =
      entry.answerId ??
      (await inConversation(entry, (conversationId) =>
        commitTurn(entry, conversationId, isBroughtByCaller, signal),
      ))
    if (typeof question.answer === 'string') return answerId
    const text = await deps.messageText(orgId, answerId)
    await deps.postTo(orgId, providerKey, question.answer.url, text ?? SORRY)
    await inbox.end(entry, 'done', null)
    return answerId
  }

  /** The conversation of a thread may have been deleted since: the thread then begins another. */
  async function inConversation<Result>(
    entry: InboxEntry,
    use: (conversationId: string) => Promise<Result>,
  ): Promise<Result> {
    const conversationId = await conversationFor(entry)
    const { where } = entry.question
    try {
      return await use(conversationId)
    } catch (error) {
      const isGone = error instanceof AppError && error.code === 'NOT_FOUND'
      if (!isGone || where === null || 'conversationId' in where) throw error
      const { orgId, integrationId } = entry
      await threads.forget({ orgId, integrationId, channel: where.channel, conversationId })
      return use(await conversationFor(entry))
    }
  }

  async function giveUp(entry: InboxEntry, reason: string): Promise<void> {
    const { orgId, providerKey, question } = entry
    // Whoever has it by now answers it.
    if (!(await inbox.end(entry, 'failed', reason))) return
    const { answer } = question
    if (typeof answer !== 'string') {
      await deps.postTo(orgId, providerKey, answer.url, SORRY).catch((error: unknown) => {
        log.warn({ err: error, org_id: orgId, inbound_id: entry.id }, 'question.asker_not_told')
      })
      return
    }
    const subscriptionId = await subscriptionFor(entry)
    if (subscriptionId === null) return
    const conversationId = await conversationFor(entry)
    await inOrg(orgId, (_, client) => notify(client, orgId, subscriptionId, conversationId, SORRY))
    deps.wake()
  }

  async function failed(entry: InboxEntry, error: unknown): Promise<Answered> {
    const reason = error instanceof AppError ? error.message : 'an error inside Patchbay'
    const fields = { org_id: entry.orgId, inbound_id: entry.id, tries: entry.tries }
    if (!(error instanceof AppError)) log.error({ ...fields, err: error }, 'question.broke')
    if (isFinal(error) || entry.tries >= MAX_TRIES) {
      log.warn({ ...fields, reason }, 'question.failed')
      await giveUp(entry, reason)
      return NOT_MINE
    }
    const againInS = FIRST_RETRY_S * 4 ** (entry.tries - 1)
    await inbox.again(entry, reason, againInS)
    log.info({ ...fields, reason, again_in_s: againInS }, 'question.postponed')
    return { againInS, answerId: null }
  }

  return async function answerQuestion(
    id: string,
    signal: AbortSignal,
    isBroughtByCaller: IsBroughtByCaller = () => false,
  ): Promise<Answered> {
    const entry = signal.aborted ? null : await inbox.take(id)
    if (entry === null) return NOT_MINE
    if (!entry.isEnabled) {
      const reason = 'the integration is disabled'
      // Its channels are not written to; a URL that came with the question is the asker's.
      if (typeof entry.question.answer === 'string') await inbox.end(entry, 'failed', reason)
      else await giveUp(entry, reason)
      return NOT_MINE
    }
    // It has ended every process that took it, or nobody came to say that it failed.
    if (entry.tries > MAX_TRIES) {
      await giveUp(entry, 'every try of it was cut off')
      return NOT_MINE
    }
    const startedAt = performance.now()
    try {
      const answerId = await work(entry, isBroughtByCaller, signal)
      log.info(
        {
          org_id: entry.orgId,
          integration_id: entry.integrationId,
          inbound_id: id,
          tries: entry.tries,
          duration_ms: Math.round(performance.now() - startedAt),
        },
        'question.answered',
      )
      return { againInS: null, answerId }
    } catch (error) {
      if (error instanceof LostError) return NOT_MINE
      if (signal.aborted) {
        // This process stops: a sweep of another one finds the question.
        await inbox.giveBack(entry)
        return NOT_MINE
      }
      return failed(entry, error)
    }
  }
}

/** What no further try will change. */
function isFinal(error: unknown): boolean {
  return (
    error instanceof AppError && ['NOT_FOUND', 'INVALID_BODY', 'FORBIDDEN'].includes(error.code)
  )
}

/** As runs, events and the audit name who asked. */
function userOf({ providerKey, question }: InboxEntry): string {
  return `${providerKey}:${question.user.id}`.slice(0, 256)
}
