import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Actor, AuditEntry } from '../core/actor.ts'
import { AppError } from '../core/error.ts'
import type { DbTx, Queryable } from '../db/pool.ts'
import type { InOrg, SendInOrg } from '../db/tenants.ts'
import { toolRuns } from '../db/tool-tables.ts'
import { cappedArguments, cutBytes } from './cut-bytes.ts'
import type { HttpConfig } from './http-config.ts'

/** What an endpoint may answer, and what writing it down as JSON adds. */
const MAX_RESULT_BYTES = 524_288
const MAX_ERROR_BYTES = 16_384
const DEFAULT_SECONDS = 60
/** Beside the call itself: until its end is written down. */
const MARGIN_SECONDS = 60

/** A run that is about to leave. */
export interface RunStart {
  readonly id: string
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string | null
  readonly source: string
  readonly tool: string
  readonly toolId: string | null
  readonly integrationId: string | null
  /** That is called; null: a built-in tool, or it is not known any more. */
  readonly host: string | null
  readonly approvalId: string | null
  /** As they may be kept. */
  readonly arguments: unknown
  /** After which nobody knows what became of it. */
  readonly mayTakeS: number
}

/** A run that has ended, whatever came of it. */
export interface FinishedRun extends Omit<RunStart, 'mayTakeS'> {
  readonly outcome: 'success' | 'error' | 'timeout' | 'blocked'
  readonly result: unknown
  readonly error: string | null
  readonly durationMs: number
  /** Requests that left. */
  readonly attempts: number
}

export interface RunEvent {
  readonly orgId: string
  readonly type: 'tool.exec.success' | 'tool.exec.error'
  readonly conversationId?: string | undefined
  readonly data: Record<string, unknown>
}

interface RunsDeps {
  readonly inOrg: InOrg
  readonly writeInOrg: SendInOrg
  readonly emit: (tx: DbTx, event: RunEvent) => Promise<string>
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
}

/** A run as it ended, from what was written down. */
export type EndedRun = Omit<FinishedRun, 'outcome'> & {
  readonly outcome: FinishedRun['outcome'] | 'unknown'
}

/** The run was begun already: it is another process's, or it has ended. */
export class RunTakenError extends Error {
  override readonly name = 'RunTakenError'
}

const BEGIN = {
  name: 'begin_run',
  text: `
insert into patchbay.tool_runs
  (id, org_id, tool, tool_id, integration_id, host, conversation_id, user_id, source, arguments, approval_id, outcome, due_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'running', now() + make_interval(secs => $12))
on conflict do nothing
returning id`,
}

/** How long a run may take. */
export function startSeconds(config: Pick<HttpConfig, 'timeoutMs'> | null): number {
  return Math.ceil((config?.timeoutMs ?? DEFAULT_SECONDS * 1000) / 1000) + MARGIN_SECONDS
}

/**
 * The record of what runs.
 *
 *   running ─▶ success | error | timeout | blocked
 *      └─────▶ unknown (nobody came to say how it ended) ─▶ one of those, where somebody still comes
 *
 * Its end and its event are written in one transaction.
 */
export function makeRuns({ inOrg, writeInOrg, emit, audit }: RunsDeps) {
  return {
    /** @throws RunTakenError where there is such a run */
    async begin(run: RunStart): Promise<void> {
      const begun = await writeInOrg(run.orgId, BEGIN, [
        run.id,
        run.orgId,
        run.tool,
        run.toolId,
        run.integrationId,
        run.host,
        run.conversationId,
        run.userId,
        run.source,
        JSON.stringify(cappedArguments(run.arguments)),
        run.approvalId,
        run.mayTakeS,
      ])
      if (begun.length === 0) throw new RunTakenError('the run exists')
    },

    /** As it ended, of its results what is kept; null: it still runs, or there is none. */
    async find(orgId: string, id: string): Promise<EndedRun | null> {
      const isIt = and(eq(toolRuns.orgId, orgId), eq(toolRuns.id, id))
      const [row] = await inOrg(orgId, (tx) => tx.select().from(toolRuns).where(isIt))
      if (row === undefined || row.outcome === 'running') return null
      const { dueAt: _, finishedAt: __, outcome, result, durationMs, ...run } = row
      return { ...run, outcome, result: parsed(result), durationMs: durationMs ?? 0 }
    },

    /** Writes down how a run ended, whether or not it was begun, and who ran it where that was a request. */
    async end(
      run: FinishedRun,
      by: Actor | undefined,
      action: 'tool.ran' | 'tool.tested' = 'tool.ran',
    ): Promise<void> {
      const { id, orgId, tool, host, outcome, durationMs, error, attempts } = run
      const end = {
        outcome,
        durationMs,
        attempts,
        result:
          run.result === null
            ? null
            : cutBytes(JSON.stringify(run.result) ?? 'null', MAX_RESULT_BYTES),
        error: error === null ? null : cutBytes(error, MAX_ERROR_BYTES),
        dueAt: null,
        finishedAt: sql`now()`,
      }
      await inOrg(orgId, async (tx) => {
        const written = tx
          .insert(toolRuns)
          .values({ ...run, ...end, arguments: cappedArguments(run.arguments) })
          .onConflictDoUpdate({
            target: toolRuns.id,
            set: end,
            setWhere: inArray(toolRuns.outcome, ['running', 'unknown']),
          })
        const told = emit(tx, {
          orgId,
          conversationId: run.conversationId ?? undefined,
          ...(outcome === 'success'
            ? { type: 'tool.exec.success', data: { tool, runId: id, durationMs } }
            : { type: 'tool.exec.error', data: { tool, runId: id, error: error ?? outcome } }),
        })
        const detail = { tool, host, outcome }
        const noted = by === undefined ? [] : [audit({ orgId, by, action, target: id, detail }, tx)]
        await sendTogether([written, told, ...noted])
      })
    },
  }
}

/**
 * Runs of which nobody said in time how they ended: their process is gone. One that was begun while its org was deleted is all
 * that is left of that org, and goes: no event of it can be told.
 */
const SWEEP = `
with due as (
  select r.id, exists (select from patchbay.orgs as o where o.id = r.org_id) as has_org
  from patchbay.tool_runs as r
  where r.outcome = 'running' and r.due_at < coalesce($1, now())
  order by r.due_at
  limit 500
  for update of r skip locked
),
left_over as (
  delete from patchbay.tool_runs as r
  using due
  where r.id = due.id and not due.has_org
),
lost as (
  update patchbay.tool_runs as r
  set outcome = 'unknown', due_at = null, finished_at = now(), error = $2
  from due
  where r.id = due.id and due.has_org
  returning r.id, r.org_id, r.tool, r.conversation_id
)
select l.id,
  patchbay.emit_event(l.org_id, 'tool.exec.error',
    json_build_object('tool', l.tool, 'runId', l.id, 'error', $2::text), l.conversation_id)
from lost as l`

const LOST =
  'unknown: the process ended before the answer was known; the endpoint may or may not have done it'

/** @returns how many are unknown now */
export async function sweepRuns(db: Queryable, now: Date | null = null): Promise<number> {
  const { rows } = await db.query({ text: SWEEP, values: [now, LOST] })
  return rows.length
}

/**
 * Statements of one transaction that do not need each other's answers share a round trip. Ends when all have, also where one
 * fails: none may come after the transaction's end. Throws what one failed with; the others then failed with it.
 */
async function sendTogether(statements: readonly PromiseLike<unknown>[]): Promise<void> {
  // A statement of the query builder is sent by each `then`, so it gets one.
  const sent = await Promise.allSettled(statements.map((statement) => Promise.resolve(statement)))
  const errors = sent
    .filter((one) => one.status === 'rejected')
    .map(({ reason }): unknown => reason)
  if (errors.length > 0) throw errors.find((error) => !isOfAborted(error)) ?? errors[0]
}

/** Another statement of its transaction had failed before. */
function isOfAborted(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause ?? error) : null
  return cause instanceof Error && 'code' in cause && cause.code === '25P02'
}

/**
 * A run's result.
 *
 * @throws AppError `TOOL_FAILED` or `TOOL_TIMEOUT` with `runId` where it did not succeed
 */
export function resultOf(run: EndedRun): { runId: string; result: unknown } {
  if (run.outcome === 'success') return { runId: run.id, result: run.result }
  const code = run.outcome === 'timeout' ? 'TOOL_TIMEOUT' : 'TOOL_FAILED'
  throw new AppError(code, `${run.tool}: ${run.error ?? run.outcome}`, {
    members: { runId: run.id },
  })
}

/** A result that was cut is no JSON any more. */
function parsed(stored: string | null): unknown {
  if (stored === null) return null
  try {
    return JSON.parse(stored)
  } catch {
    return stored
  }
}
