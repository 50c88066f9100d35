import type { Actor, AuditEntry } from '../core/actor.ts'
import { type Page, toPage } from '../core/cursor.ts'
import { AppError, notFound } from '../core/error.ts'
import type { DbTx, Queryable } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Keyring } from '../security/keyring.ts'
import {
  type ApprovalRow,
  type ApprovalState,
  addApproval,
  attachTurn,
  countPending,
  decideApproval,
  findApproval,
  findDecided,
  findPending,
  listApprovals,
  markCollected,
  type NewApproval,
} from './approval-queries.ts'
import type { CheckedInvocation } from './call.ts'
import { callHashOf } from './call-hash.ts'
import { cappedArguments } from './cut-bytes.ts'
import type { ExternalTool, RunAnswer } from './invoke.ts'
import { hideMarked } from './marks.ts'
import type { EndedRun } from './runs.ts'

/** A call that waits, or waited, for a person. */
export interface Approval {
  readonly id: string
  readonly tool: string
  readonly toolId: string
  readonly integrationId: string
  readonly userId: string
  readonly source: string
  readonly conversationId: string | null
  /** All of them, cleaned of what the tool's schema marks as secret; in a list the beginning of long ones, as `{ cut }`. */
  readonly arguments: unknown
  /** SHA-256, base64url: of the tool as it was defined and of the arguments, all of them. Nothing else is run. */
  readonly callHash: string
  readonly state: ApprovalState
  readonly decidedBy: string | null
  readonly decidedAt: string | null
  readonly expiresAt: string
  /** Of the call, once it is approved; the run exists when it has begun. */
  readonly runId: string | null
  readonly outcome: string | null
  readonly createdAt: string
}

export interface ApprovalEvent {
  readonly orgId: string
  readonly type: 'tool.approval.requested' | 'tool.approval.decided'
  readonly conversationId?: string | undefined
  readonly data: Record<string, unknown>
}

interface ApprovalsDeps {
  readonly inOrg: InOrg
  readonly keyring: Pick<Keyring, 'seal'>
  readonly emit: (tx: DbTx, event: ApprovalEvent) => Promise<string>
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
  readonly findRun: (orgId: string, id: string) => Promise<EndedRun | null>
  readonly newId: () => string
  readonly expiresInS: number
  /** Has what is left to do of it done, soon. */
  readonly carryOut: (id: string) => void
}

/** Surfaces whose caller comes back by itself: a turn of a chat goes on instead. */
const COMES_BACK = new Set(['api', 'mcp'])

const MAX_LOOKS = 3
/** Whoever decides sees all of them: no arguments are longer, unless by the marks for what is secret. */
const MAX_ARGUMENTS_BYTES = 1_048_576
/** Of one org: more than people can look at. What asks goes on until somebody decides some of them. */
const MAX_PENDING = 1000
const FULL_RETRY_S = 60

/** What was written for a call that turned out to be decided is rolled back. */
class DecidedError extends Error {
  override readonly name = 'DecidedError'
}

export function sealContextOf(orgId: string, rowId: string, column: 'call' | 'turn') {
  return { orgId, table: 'tool_approvals', column, rowId }
}

/**
 * Calls that wait for a person: exactly what was asked for runs once, when somebody with the permission has approved it in
 * time.
 */
export function makeApprovals(deps: ApprovalsDeps) {
  const { inOrg, keyring, emit, audit, newId } = deps

  /** What a caller comes back for, where its call was decided. */
  async function collect(wanted: NewApproval): Promise<RunAnswer | null> {
    const decided = await inOrg(wanted.orgId, async (_, client) => {
      const row = await findDecided(client, wanted)
      const isOver = row?.state === 'denied' || (row !== null && hasEnded(row))
      if (row !== null && isOver) await markCollected(client, wanted.orgId, row.id)
      return row
    })
    if (decided === null) return null
    if (decided.state === 'denied') {
      throw new AppError('FORBIDDEN', `${decided.tool}: ${decided.decidedBy} denied this call.`)
    }
    const run = hasEnded(decided) ? await deps.findRun(wanted.orgId, decided.runId ?? '') : null
    if (run !== null) return { kind: 'ran', run }
    return toAnswer(decided, null)
  }

  /** Has it wait, or finds that it waits already. null: it is decided at this moment. */
  async function wait(wanted: NewApproval, by: Actor | undefined): Promise<RunAnswer | null> {
    const { orgId, id, tool, source } = wanted
    return inOrg(orgId, async (tx, client) => {
      const expiresAt = await addApproval(client, wanted)
      if (expiresAt === null) {
        const same = await findPending(client, wanted)
        return same === null ? null : toAnswer({ ...wanted, ...same }, null)
      }
      if ((await countPending(client, orgId, MAX_PENDING + 1)) > MAX_PENDING) throw tooMany()
      // The one that it would have been the same as was decided since we looked: there is none to add.
      const isDecided = COMES_BACK.has(source) && (await findDecided(client, wanted)) !== null
      if (isDecided) throw new DecidedError('decided meanwhile')
      const eventId = await tellRequested(tx, orgId, { ...wanted, expiresAt })
      const entry = { orgId, action: 'tool.approval.requested', target: id }
      if (by !== undefined) await audit({ ...entry, by, detail: { tool } }, tx)
      return toAnswer({ ...wanted, expiresAt }, eventId)
    }).catch((error: unknown) => {
      if (error instanceof DecidedError) return null
      throw error
    })
  }

  function tellRequested(
    tx: DbTx,
    orgId: string,
    row: Pick<NewApproval, 'id' | 'tool' | 'userId' | 'source' | 'conversationId' | 'arguments'> & {
      readonly expiresAt: Date
    },
  ): Promise<string> {
    const { conversationId, arguments: args } = row
    return emit(tx, {
      orgId,
      type: 'tool.approval.requested',
      conversationId: conversationId ?? undefined,
      data: {
        ...aboutOf(row),
        arguments: cappedArguments(args),
        expiresAt: row.expiresAt.toISOString(),
      },
    })
  }

  return {
    /**
     * Has a call wait; the same call of the same person, asked again, is the same one. Where that was decided meanwhile and
     * its caller is one that comes back, its run is the answer, once.
     *
     * @throws AppError `FORBIDDEN` where somebody has denied it, told once; `RATE_LIMITED` where too many calls wait
     */
    async hold(tool: ExternalTool, invocation: CheckedInvocation): Promise<RunAnswer> {
      const { orgId, userId, conversationId, source, args, by } = invocation
      const id = newId()
      const wanted: NewApproval = {
        id,
        orgId,
        tool: tool.name,
        toolId: tool.id,
        integrationId: tool.integrationId,
        userId,
        source,
        conversationId,
        arguments: cappedArguments(hideMarked(tool.argsSchema, args), MAX_ARGUMENTS_BYTES),
        call: await keyring.seal(sealContextOf(orgId, id, 'call'), JSON.stringify(args)),
        callHash: callHashOf(tool, args),
        expiresInS: deps.expiresInS,
      }
      for (let look = 1; look <= MAX_LOOKS; look += 1) {
        const known = COMES_BACK.has(source) ? await collect(wanted) : null
        const answer = known ?? (await wait(wanted, by))
        if (answer !== null) return answer
      }
      throw new AppError('CONFLICT', `${tool.name}: this call was decided just now: ask again.`)
    },

    /** Newest first. */
    async list(orgId: string, state: ApprovalState | null, page: Page) {
      const rows = await inOrg(orgId, (_, client) =>
        listApprovals(client, orgId, page.after, state, page.limit + 1),
      )
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { approvals: shown.map(toApproval), nextCursor }
    },

    async get(orgId: string, id: string): Promise<Approval> {
      const row = await inOrg(orgId, (_, client) => findApproval(client, orgId, id))
      if (row === null) throw notFound('approval')
      return toApproval(row)
    },

    /**
     * Decides it, once. What follows (its run, a turn that goes on) is a job's, or of whoever has the lease.
     *
     * @throws AppError `CONFLICT` where it is decided or too late
     */
    async decide(
      orgId: string,
      id: string,
      decision: 'approve' | 'deny',
      by: Actor,
      leaseToken: string | null = null,
    ): Promise<Approval> {
      const state = decision === 'approve' ? 'approved' : 'denied'
      const decided = await inOrg(orgId, async (tx, client) => {
        const runId = newId()
        const choice = { state, by: by.principalId, runId, leaseToken } as const
        const row = await decideApproval(client, orgId, id, choice)
        if (row === null) throw await whyNot(await findApproval(client, orgId, id))
        const { conversationId, tool, decidedBy } = row
        await emit(tx, {
          orgId,
          type: 'tool.approval.decided',
          conversationId: conversationId ?? undefined,
          data: { ...aboutOf(row), state, decidedBy, runId: row.runId },
        })
        const detail = { tool, runId: row.runId }
        await audit({ orgId, by, action: `tool.approval.${state}`, target: id, detail }, tx)
        return row
      })
      if (leaseToken === null) deps.carryOut(id)
      return toApproval(decided)
    },

    /**
     * What a turn of the chat does that waits for calls: before its transaction it seals what it needs to go on; in it, it
     * leaves that with each of them; after it, those that were decided meanwhile are carried out.
     */
    async prepareWait<
      Call extends { readonly approvalId: string; readonly eventId: string | null },
    >(orgId: string, calls: readonly Call[], turn: unknown) {
      const sealed = await Promise.all(
        calls.map(async (call) => {
          const context = sealContextOf(orgId, call.approvalId, 'turn')
          return { call, turn: await keyring.seal(context, JSON.stringify(turn)) }
        }),
      )
      return {
        /**
         * A call that an earlier turn made, which then failed, is told of once more: where that turn was asked, nobody has been.
         *
         * @returns the calls, with the events that tell of them
         */
        attach: async (tx: DbTx, client: Queryable): Promise<Call[]> => {
          const told: Call[] = []
          for (const { call, turn } of sealed) {
            const row = await attachTurn(client, orgId, call.approvalId, turn)
            const isUntold = call.eventId === null && row?.isAlone === true
            told.push(isUntold ? { ...call, eventId: await tellRequested(tx, orgId, row) } : call)
          }
          return told
        },
        committed: () => {
          for (const { call } of sealed) deps.carryOut(call.approvalId)
        },
      }
    },
  }
}

function hasEnded({ outcome }: ApprovalRow): boolean {
  return outcome !== null && outcome !== 'running'
}

function tooMany(): AppError {
  const message = `${MAX_PENDING} calls of this org wait for a person already: somebody has to decide some of them first.`
  return new AppError('RATE_LIMITED', message, { retryAfterS: FULL_RETRY_S })
}

function whyNot(row: ApprovalRow | null): AppError {
  if (row === null) return notFound('approval')
  if (row.state === 'pending' || row.state === 'expired') {
    const until = row.expiresAt.toISOString()
    return new AppError('CONFLICT', `Too late: this call of ${row.tool} waited until ${until}.`)
  }
  const when = row.decidedAt?.toISOString()
  return new AppError(
    'CONFLICT',
    `${row.decidedBy} has ${row.state} this call already, at ${when}.`,
  )
}

function aboutOf(row: { id: string; tool: string; userId: string; source: string }) {
  const { id, tool, userId, source } = row
  return { approvalId: id, tool, userId, source }
}

function toAnswer(
  row: { id: string; tool: string; arguments: unknown; expiresAt: Date },
  eventId: string | null,
): RunAnswer {
  const { id: approvalId, tool, arguments: args } = row
  const expiresAt = row.expiresAt.toISOString()
  return { kind: 'waits', waiting: { approvalId, eventId, tool, arguments: args, expiresAt } }
}

function toApproval(row: ApprovalRow): Approval {
  return {
    id: row.id,
    tool: row.tool,
    toolId: row.toolId,
    integrationId: row.integrationId,
    userId: row.userId,
    source: row.source,
    conversationId: row.conversationId,
    arguments: row.arguments,
    callHash: row.callHash,
    state: row.state,
    decidedBy: row.decidedBy,
    decidedAt: row.decidedAt?.toISOString() ?? null,
    expiresAt: row.expiresAt.toISOString(),
    runId: row.runId,
    outcome: row.outcome,
    createdAt: row.createdAt.toISOString(),
  }
}
