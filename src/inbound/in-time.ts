import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../telemetry/log.ts'
import type { Answered, IsBroughtByCaller } from './answer.ts'

/** Teams waits five seconds for what it shows as the answer. */
const IN_TIME_MS = 4000

interface InTimeDeps {
  readonly answerQuestion: (
    id: string,
    signal: AbortSignal,
    isBroughtByCaller: IsBroughtByCaller,
  ) => Promise<Answered>
  readonly answerAfter: (id: string, afterS: number) => void
  readonly messageText: (orgId: string, messageId: string) => Promise<string | null>
  /** Of the process. */
  readonly signal: AbortSignal
  readonly log: Log
  /** How long the asker waits. */
  readonly withinMs?: number
}

/**
 * Answers within the request where the turn is quick enough; otherwise the turn goes on, and its answer is owed to a subscription
 * of the integration. Which of the two it is is decided once: when the turn commits, or when the time is over.
 */
export function makeAnswerInTime(deps: InTimeDeps) {
  const { answerQuestion, answerAfter, messageText, signal, log, withinMs = IN_TIME_MS } = deps

  async function goOn(id: string, answered: Promise<Answered>): Promise<void> {
    try {
      const { againInS } = await answered
      if (againInS !== null) answerAfter(id, againInS)
    } catch (error) {
      // Nobody waits for it any more. Once its lease is over, a sweep finds the question.
      log.warn({ err: error, inbound_id: id }, 'question.lost')
    }
  }

  /** @returns null: it takes longer */
  return async function answerInTime(orgId: string, id: string): Promise<string | null> {
    let isOver = false
    let isOurs = false
    const answered = answerQuestion(id, signal, () => {
      isOurs = !isOver
      return isOurs
    })
    const timeIsOver = sleep(withinMs, null, { ref: false })
    const first = await Promise.race([answered, timeIsOver])
    isOver = true
    const done = first ?? (isOurs ? await answered : null)
    if (done === null) {
      void goOn(id, answered)
      return null
    }
    if (done.againInS !== null) answerAfter(id, done.againInS)
    return done.answerId === null ? null : messageText(orgId, done.answerId)
  }
}
