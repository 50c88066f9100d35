import { type Page, toPage } from '../core/cursor.ts'
import { notFound } from '../core/error.ts'
import { timeOfId } from '../core/id.ts'
import type { SendInOrg } from '../db/tenants.ts'
import { CUT_MARK } from './call-result.ts'

/** As they stand in the table: a run is `running` until it has ended, `unknown` where nobody can say how. */
export const RUN_OUTCOMES = [
  'running',
  'success',
  'error',
  'timeout',
  'blocked',
  'unknown',
] as const

export type RunOutcome = (typeof RUN_OUTCOMES)[number]

export interface RunFilter {
  /** A name or wire name that the org has now, or the name that the tool had when it ran. */
  readonly tool: string | null
  readonly outcome: RunOutcome | null
  readonly conversationId: string | null
  readonly source: string | null
  /** Runs that began then or later. */
  readonly since: Date | null
  /** Runs that began before then. */
  readonly until: Date | null
}

/** A run, without what went in and came out. */
export interface RunView {
  readonly id: string
  readonly tool: string
  readonly toolId: string | null
  readonly integrationId: string | null
  /** That was called; null: a built-in tool. */
  readonly host: string | null
  readonly source: string
  readonly userId: string
  readonly conversationId: string | null
  readonly outcome: RunOutcome
  readonly error: string | null
  readonly durationMs: number | null
  /** Requests that left. */
  readonly attempts: number
  readonly approvalId: string | null
  readonly startedAt: string
  readonly finishedAt: string | null
}

export interface RunDetail extends RunView {
  /** Cleaned of secrets, and cut where they are long. */
  readonly arguments: unknown
  /** JSON; or, where it was too long to keep whole, what was kept of its text. */
  readonly result: unknown
  readonly resultIsCut: boolean
}

const COLUMNS = `
  id, tool, tool_id as "toolId", integration_id as "integrationId", host, source, user_id as "userId",
  conversation_id as "conversationId", outcome, error, duration_ms as "durationMs", attempts, approval_id as "approvalId",
  coalesce(finished_at, patchbay.id_time(id) + duration_ms * interval '1 millisecond') as "finishedAt"`

const LAST_ID = "'ffffffff-ffff-ffff-ffff-ffffffffffff'"
const FIRST_ID = "'00000000-0000-0000-0000-000000000000'"

/**
 * Not a named statement, so that the planner sees which filters are set and picks the index; and the bounds of the id are one
 * condition each, so that it leaves out the days beyond them.
 */
const PAGE = `
select ${COLUMNS}
from patchbay.tool_runs
where org_id = $1
  and ($2::text is null or tool = $2)
  and ($3::text is null or outcome = $3)
  and ($4::text is null or conversation_id = $4)
  and ($5::text is null or source = $5)
  and id >= coalesce(patchbay.id_floor($6::timestamptz), ${FIRST_ID})
  and id < least(coalesce($8::uuid, ${LAST_ID}), coalesce(patchbay.id_floor($7::timestamptz), ${LAST_ID}))
order by id desc
limit $9`

const ONE = `select ${COLUMNS}, arguments, result from patchbay.tool_runs where org_id = $1 and id = $2`

interface RunRow extends Omit<RunView, 'startedAt' | 'finishedAt'> {
  readonly finishedAt: Date | null
}

interface RunHistoryDeps {
  readonly readInOrg: SendInOrg
  /** The canonical name of a tool that the org has now, by name or wire name. */
  readonly nameOf: (orgId: string, wanted: string) => Promise<string | null>
}

/** What ran: read from the record of runs, scoped to an org. */
export function makeRunHistory({ readInOrg, nameOf }: RunHistoryDeps) {
  return {
    /** Newest first. */
    async list(orgId: string, filter: RunFilter, { limit, after }: Page) {
      const { outcome, conversationId, source, since, until } = filter
      const tool = filter.tool === null ? null : ((await nameOf(orgId, filter.tool)) ?? filter.tool)
      const window = [since, until].map(sinceEpoch)
      const values = [orgId, tool, outcome, conversationId, source, ...window, after, limit + 1]
      const found = await readInOrg<RunRow>(orgId, PAGE, values)
      const { rows, nextCursor } = toPage(found, limit, (row) => row.id)
      return { toolRuns: rows.map(toView), nextCursor }
    },

    async get(orgId: string, id: string): Promise<RunDetail> {
      const [row] = await readInOrg<RunRow & { arguments: unknown; result: string | null }>(
        orgId,
        ONE,
        [orgId, id],
      )
      if (row === undefined) throw notFound('tool run')
      const { arguments: args, result, ...rest } = row
      return { ...toView(rest), arguments: args, ...readResult(result) }
    },
  }
}

/** No id is older: an earlier moment would be a negative number, which no UUID can hold. */
function sinceEpoch(at: Date | null): Date | null {
  return at === null ? null : new Date(Math.max(0, at.getTime()))
}

function toView({ finishedAt, ...row }: RunRow): RunView {
  const startedAt = timeOfId(row.id).toISOString()
  return { ...row, startedAt, finishedAt: finishedAt?.toISOString() ?? null }
}

/** What was kept whole is JSON; a mark where something was cut makes it none, or was part of it from the start. */
function readResult(text: string | null): { result: unknown; resultIsCut: boolean } {
  if (text === null) return { result: null, resultIsCut: false }
  try {
    const result: unknown = JSON.parse(text)
    return { result, resultIsCut: typeof result === 'string' && result.endsWith(CUT_MARK) }
  } catch {
    return { result: text, resultIsCut: true }
  }
}
