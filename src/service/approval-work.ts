import { randomUUID } from 'node:crypto'
import { makeGoOn } from '../chat/go-on.ts'
import type { Actor } from '../core/actor.ts'
import type { Log } from '../telemetry/log.ts'
import { expireApprovals, listOpen } from '../tools/approval-queries.ts'
import { makeCarryOut } from '../tools/carry-out.ts'
import type { Features } from './features.ts'
import type { Inbound } from './inbound.ts'
import type { Resources } from './resources.ts'

export type ApprovalWork = ReturnType<typeof makeApprovalWork>

/** What is done when somebody has decided, or nobody has in time. */
export function makeApprovalWork(
  resources: Pick<Resources, 'pool' | 'keyring' | 'jobs'>,
  features: Features,
  inbound: Inbound,
  log: Log,
  signal: AbortSignal,
) {
  const { pool, keyring, jobs } = resources
  const { invoke, runs, approvals, turn } = features
  const work = makeCarryOut({
    db: pool,
    keyring,
    newToken: randomUUID,
    runHeld: async (call) => {
      const run = await invoke.runHeld(call)
      jobs.wake()
      return run
    },
    giveUpHeld: invoke.giveUpHeld,
    findRun: runs.find,
    goOn: makeGoOn({
      turn,
      messageText: inbound.messageText,
      wayBack: inbound.wayBack,
      wake: jobs.wake,
      signal,
    }),
    carryOutAfter: jobs.carryOutAfter,
    random: Math.random,
    signal,
    log,
  })
  return {
    carryOut: work.carryOut,
    settled: work.settled,

    /** Decides it and carries it out here, for who waits for the answer. @returns null: its run has not ended */
    async decideAndRun(orgId: string, id: string, decision: 'approve' | 'deny', by: Actor) {
      const token = randomUUID()
      const approval = await approvals.decide(orgId, id, decision, by, token)
      return { approval, run: await work.carryOutNow(id, token) }
    },

    /** Ends what nobody decided in time, and finds what nobody came for. */
    async sweep(): Promise<void> {
      const expired = await expireApprovals(pool)
      if (expired.length > 0) jobs.wake()
      for (const id of new Set([...expired, ...(await listOpen(pool))])) jobs.carryOut(id)
    },
  }
}
