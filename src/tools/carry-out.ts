import { AppError } from '../core/error.ts'
import type { Queryable } from '../db/pool.ts'
import type { Keyring } from '../security/keyring.ts'
import type { Log } from '../telemetry/log.ts'
import {
  type ApprovalState,
  findTaken,
  type HeldRow,
  markDone,
  postpone,
  takeApproval,
} from './approval-queries.ts'
import { sealContextOf } from './approvals.ts'
import type { HeldCall, HeldRun } from './invoke.ts'
import type { FinishedRun } from './runs.ts'

const MAX_TRIES = 6
const FIRST_RETRY_S = 2
/** Until somebody else's run has ended. */
const RUN_WAIT_S = 10
/** How long a call waits for its limits. */
const MAX_BUSY_S = 3600
/** Those that were refused together come back apart, and the less often the longer they wait. */
const BUSY_SPREAD = 2
const BUSY_SHARE = 0.25
const MAX_BUSY_WAIT_S = 60

/** It cannot go on yet, which is nobody's fault and none of its tries. */
class Wait {
  readonly reason: string
  readonly afterS: number

  constructor(reason: string, afterS: number) {
    this.reason = reason
    this.afterS = afterS
  }
}

const RUNS = new Wait('it runs', RUN_WAIT_S)

/** What a turn that waited goes on with. */
export interface Decided {
  readonly approvalId: string
  readonly tool: string
  readonly state: Exclude<ApprovalState, 'pending'>
  readonly decidedBy: string | null
  /** null: it did not run. */
  readonly run: (Pick<FinishedRun, 'id' | 'result' | 'error'> & { readonly outcome: string }) | null
}

interface CarryOutDeps {
  readonly db: Queryable
  readonly keyring: Pick<Keyring, 'open'>
  readonly newToken: () => string
  readonly runHeld: (call: HeldCall) => Promise<FinishedRun | null>
  /** Writes down that it could not be run, and why. null: it has begun after all. */
  readonly giveUpHeld: (run: HeldRun, problem: string) => Promise<FinishedRun | null>
  /** As it ended; null: it still runs, or there is none. */
  readonly findRun: (orgId: string, id: string) => Promise<Decided['run']>
  /**
   * The turn that waited goes on; `markDone` is called in the transaction that commits it, and rolls it back where it throws.
   *
   * @param isLastTry whether to say what came of it without asking the model once more
   */
  readonly goOn: (
    orgId: string,
    turn: unknown,
    decided: Decided,
    markDone: (client: Queryable) => Promise<void>,
    isLastTry: boolean,
  ) => Promise<void>
  readonly carryOutAfter: (id: string, afterS: number) => void
  readonly random: () => number
  /** Of the process. */
  readonly signal: AbortSignal
  readonly log: Log
}

/** It is another process's by now: what was done in the transaction is rolled back. */
class LostError extends Error {
  override readonly name = 'LostError'
}

/**
 * What is left to do of an approval that was decided:
 *
 *   approved ─▶ its run (begun once: the run's row says so) ─▶ the turn that waited goes on, once ─▶ done
 *   denied, expired ─────────────────────────────────────────▶ the turn goes on, once ───────────▶ done
 *
 * A process that dies leaves it to the next, when the lease is over. A run that had begun is never begun again: it is `unknown`
 * when its time is over, and that is what the turn goes on with. A call that cannot be run in six tries has a run that says why;
 * one that its limits do not let through waits for them, for an hour.
 */
export function makeCarryOut(deps: CarryOutDeps) {
  const { db, log } = deps

  async function runOf(row: HeldRow): Promise<FinishedRun | Decided['run'] | Wait> {
    if (row.state !== 'approved' || row.runId === null) return null
    if (row.outcome !== null) return (await deps.findRun(row.orgId, row.runId)) ?? RUNS
    const { orgId, id, runId, tool, toolId, integrationId, userId, conversationId, source } = row
    const who = { orgId, userId, conversationId, source }
    const held = { ...who, tool, toolId, integrationId, approvalId: id, runId }
    try {
      const { callHash } = row
      return (await deps.runHeld({ ...held, args: await argsOf(row), callHash })) ?? RUNS
    } catch (error) {
      if (row.ageS < MAX_BUSY_S && isBusy(error)) return busy(row, error)
      if (row.tries < MAX_TRIES) throw error
      if (!(error instanceof AppError))
        log.error({ ...fieldsOf(row), err: error }, 'approval.broke')
      return (await deps.giveUpHeld(held, `it could not be run: ${reasonOf(error)}`)) ?? RUNS
    }
  }

  async function argsOf({ orgId, id, call }: HeldRow): Promise<Record<string, unknown>> {
    if (call === null) throw new Error('an approved call has what to call')
    return JSON.parse(await deps.keyring.open(sealContextOf(orgId, id, 'call'), call))
  }

  async function work(row: HeldRow, token: string): Promise<Decided['run'] | Wait> {
    const { orgId, id, tool, state, decidedBy } = row
    if (state === 'pending') throw new Error('it is not decided')
    const run = await runOf(row)
    if (run instanceof Wait) {
      await again(row, token, run.afterS, false)
      return run
    }
    if (row.turn === null) {
      const isDone = await markDone(db, row, token, false)
      // A turn was attached meanwhile, which goes on.
      if (!isDone) await again(row, token, 0, false)
      return run
    }
    const context = sealContextOf(orgId, id, 'turn')
    const turn: unknown = JSON.parse(await deps.keyring.open(context, row.turn))
    const done = async (client: Queryable) => {
      if (!(await markDone(client, row, token, true))) throw new LostError('carried out by another')
    }
    const decided = { approvalId: id, tool, state, decidedBy, run }
    await deps.goOn(orgId, turn, decided, done, row.tries >= MAX_TRIES)
    return run
  }

  function busy({ ageS }: HeldRow, { message, retryAfterS }: AppError): Wait {
    const leastS = Math.max(
      retryAfterS ?? FIRST_RETRY_S,
      Math.min(ageS * BUSY_SHARE, MAX_BUSY_WAIT_S),
    )
    return new Wait(message, Math.ceil(leastS * (1 + deps.random() * BUSY_SPREAD)))
  }

  async function again(row: HeldRow, token: string, afterS: number, isTry: boolean) {
    await postpone(db, row.id, token, afterS, isTry)
    deps.carryOutAfter(row.id, afterS)
  }

  async function tried(row: HeldRow, token: string): Promise<Decided['run']> {
    const startedAt = performance.now()
    const fields = fieldsOf(row)
    try {
      const run = await work(row, token)
      if (run instanceof Wait) {
        const { reason, afterS } = run
        log.info({ ...fields, reason, again_in_s: afterS }, 'approval.postponed')
        return null
      }
      const durationMs = Math.round(performance.now() - startedAt)
      const { state } = row
      log.info(
        { ...fields, state, run_id: run?.id, duration_ms: durationMs },
        'approval.carried_out',
      )
      return run
    } catch (error) {
      if (error instanceof LostError) return null
      if (isGone(error) || row.tries > MAX_TRIES) {
        await markDone(db, row, token, row.turn !== null)
        log.warn({ ...fields, err: error }, 'approval.given_up')
        return null
      }
      const reason = reasonOf(error)
      if (!(error instanceof AppError)) log.error({ ...fields, err: error }, 'approval.broke')
      const waitS = error instanceof AppError ? (error.retryAfterS ?? 0) : 0
      const afterS = Math.max(waitS, FIRST_RETRY_S * 3 ** (row.tries - 1))
      await again(row, token, afterS, true)
      log.info({ ...fields, reason, again_in_s: afterS }, 'approval.postponed')
      return null
    }
  }

  async function carryOut(id: string): Promise<void> {
    const token = deps.newToken()
    const row = await takeApproval(db, id, token)
    if (row !== null) await tried(row, token)
  }

  const underWay = new Set<Promise<unknown>>()

  function follow<Result>(work: Promise<Result>): Promise<Result> {
    underWay.add(work)
    return work.finally(() => underWay.delete(work))
  }

  return {
    /**
     * For the job that names it; does nothing where it is not decided, done, or another's, nor where this process stops: a sweep of
     * another one finds it.
     */
    async carryOut(id: string): Promise<void> {
      if (!deps.signal.aborted) await follow(carryOut(id))
    },

    /** When all that was begun has ended. A call that is out is not interrupted: nobody would know what it did. */
    settled: async (): Promise<void> => {
      await Promise.allSettled(underWay)
    },

    /**
     * By who has decided it and holds the lease since then.
     *
     * @returns its run; null where it has not ended
     */
    carryOutNow: (id: string, token: string): Promise<Decided['run']> =>
      follow(findTaken(db, id, token).then((row) => (row === null ? null : tried(row, token)))),
  }
}

function fieldsOf({ orgId, id, tool, tries }: HeldRow) {
  return { org_id: orgId, approval_id: id, tool, tries }
}

function isBusy(error: unknown): error is AppError {
  return error instanceof AppError && error.code === 'RATE_LIMITED'
}

function reasonOf(error: unknown): string {
  return error instanceof AppError ? error.message : 'an error inside Patchbay'
}

/** The conversation that would go on was deleted. */
function isGone(error: unknown): boolean {
  return error instanceof AppError && error.code === 'NOT_FOUND'
}
