import { z } from 'zod'
import type { Queryable } from '../db/pool.ts'
import { type TurnRun, toToolAnswer } from './toolbox.ts'
import type { CommittedTurn, makeTurn, TurnOrigin } from './turn.ts'

const TURN_TIMEOUT_MS = 120_000

const waitingTurn = z.object({
  userId: z.string(),
  conversationId: z.string(),
  userMessageId: z.string(),
  origin: z
    .object({
      integrationId: z.string(),
      app: z.string(),
      user: z.object({ id: z.string(), name: z.string().nullable() }),
      isAnsweredThere: z.boolean(),
      way: z.unknown(),
    })
    .nullable(),
})

/** What became of a call that a turn waited for. */
interface Decided {
  readonly tool: string
  readonly state: 'approved' | 'denied' | 'expired'
  readonly decidedBy: string | null
  readonly run: Pick<TurnRun, 'id' | 'outcome' | 'result' | 'error'> | null
}

/** How the answer of a turn that came from an app gets back there. */
export interface WayBack {
  /** In the turn's transaction. */
  readonly inTurn: (client: Queryable, turn: CommittedTurn) => Promise<void>
  /** After it is committed. */
  readonly after: (answer: string) => Promise<void>
}

interface GoOnDeps {
  readonly turn: ReturnType<typeof makeTurn>
  readonly messageText: (orgId: string, messageId: string) => Promise<string | null>
  /** Of what is to be brought to where it was asked. */
  readonly wayBack: (orgId: string, origin: TurnOrigin) => Promise<WayBack>
  readonly wake: () => void
  readonly signal: AbortSignal
}

/**
 * A turn that waited for a call goes on: the model is told what became of it, and its answer is one more message of the
 * conversation, with its own event.
 *
 * @throws AppError as a turn does
 */
export function makeGoOn({ turn, messageText, wayBack, wake, signal }: GoOnDeps) {
  return async function goOn(
    orgId: string,
    waited: unknown,
    decided: Decided,
    markDone: (client: Queryable) => Promise<void>,
    isLastTry: boolean,
  ): Promise<void> {
    const { userId, conversationId, userMessageId, origin } = waitingTurn.parse(waited)
    const way = origin === null ? null : await wayBack(orgId, origin)
    const done = await turn({
      orgId,
      userId,
      conversationId,
      content: (await messageText(orgId, userMessageId)) ?? '',
      saidId: userMessageId,
      signal: AbortSignal.any([signal, AbortSignal.timeout(TURN_TIMEOUT_MS)]),
      goesOnWith: {
        note: noteOf(decided),
        answer: isLastTry ? whatHappened(decided) : null,
        runId: decided.run?.id ?? null,
      },
      origin: origin ?? undefined,
      alongWith: async (_, client, committed) => {
        await markDone(client)
        await way?.inTurn(client, committed)
      },
    })
    wake()
    await way?.after(done.assistantMessage.content)
  }
}

/** For the model, in the place of a user's message. */
function noteOf(decided: Decided): string {
  return `[From Patchbay, not from the user] ${whatHappened(decided)}\nTell the user what came of it.`
}

function whatHappened({ tool, state, decidedBy, run }: Decided): string {
  switch (state) {
    case 'denied':
      return `The call of ${tool} that waited for approval was denied by ${decidedBy}. It has not run, and is not to be tried in another way.`
    case 'expired':
      return `Nobody approved the call of ${tool} in time. It has not run.`
    case 'approved': {
      const answer =
        run === null ? { isOk: false, content: 'not known' } : toToolAnswer({ ...NO_RUN, ...run })
      // It may not have left at all: its error says so.
      const came = answer.isOk ? 'It ran and gave this result' : 'It did not succeed'
      return `The call of ${tool} that waited was approved by ${decidedBy}. ${came}:\n${answer.content}`
    }
  }
}

const NO_RUN = { tool: '', durationMs: 0 }
