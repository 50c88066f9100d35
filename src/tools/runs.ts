import type { Actor, AuditEntry } from '../core/actor.ts'
import { AppError } from '../core/error.ts'
import type { DbTx } from '../db/pool.ts'
import { toolRuns } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { FinishedRun, Invocation } from './invoke.ts'

const MAX_STORED_BYTES = 16_384

export interface RunEvent {
  readonly orgId: string
  readonly type: 'tool.exec.success' | 'tool.exec.error'
  readonly conversationId?: string | undefined
  readonly data: Record<string, unknown>
}

interface RunsDeps {
  readonly inOrg: InOrg
  readonly invoke: (invocation: Invocation) => Promise<FinishedRun>
  readonly emit: (tx: DbTx, event: RunEvent) => Promise<string>
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
}

/** The record of what ran. */
export function makeRuns({ inOrg, invoke, emit, audit }: RunsDeps) {
  /** Writes the run and its event in the given transaction. */
  async function record(tx: DbTx, run: FinishedRun): Promise<void> {
    const { outcome, durationMs, error, tool } = run
    const written = tx.insert(toolRuns).values({
      id: run.id,
      orgId: run.orgId,
      tool,
      toolId: run.toolId,
      integrationId: run.integrationId,
      host: run.host,
      conversationId: run.conversationId,
      userId: run.userId,
      source: run.source,
      outcome,
      durationMs,
      arguments: capped(run.arguments),
      result: run.result === null ? null : cut(JSON.stringify(run.result) ?? 'null'),
      error: error === null ? null : cut(error),
    })
    const told = emit(tx, {
      orgId: run.orgId,
      conversationId: run.conversationId ?? undefined,
      ...(outcome === 'success'
        ? { type: 'tool.exec.success', data: { tool, runId: run.id, durationMs } }
        : { type: 'tool.exec.error', data: { tool, runId: run.id, error: error ?? outcome } }),
    })
    await sendTogether([written, told])
  }

  return {
    record,

    /**
     * Runs a tool for a person, then records it, and who ran it, in one transaction of its own.
     *
     * @throws AppError `TOOL_FAILED` or `TOOL_TIMEOUT` with `runId`, after the run is recorded
     */
    async execute(invocation: Invocation, by: Actor): Promise<{ runId: string; result: unknown }> {
      const run = await invoke(invocation)
      await inOrg(run.orgId, async (tx) => {
        const { id, orgId, tool, host, outcome } = run
        const detail = { tool, host, outcome }
        await sendTogether([
          record(tx, run),
          audit({ orgId, by, action: 'tool.ran', target: id, detail }, tx),
        ])
      })
      if (run.outcome === 'success') return { runId: run.id, result: run.result }
      const code = run.outcome === 'timeout' ? 'TOOL_TIMEOUT' : 'TOOL_FAILED'
      throw new AppError(code, `${run.tool}: ${run.error ?? run.outcome}`, {
        members: { runId: run.id },
      })
    },
  }
}

/**
 * Statements of one transaction that do not need each other's answers share a round trip. Ends when all have, also where one
 * fails: none may come after the transaction's end. Throws what failed first; the others failed with it.
 */
async function sendTogether(statements: readonly PromiseLike<unknown>[]): Promise<void> {
  // A statement of the query builder is sent by each `then`, so it gets one.
  const sent = statements.map((statement) => Promise.resolve(statement))
  try {
    await Promise.all(sent)
  } finally {
    await Promise.allSettled(sent)
  }
}

/** Arguments as they are, or, where they are too long to keep, their beginning. */
function capped(args: unknown): unknown {
  const text = JSON.stringify(args)
  if (Buffer.byteLength(text) <= MAX_STORED_BYTES) return args
  // As a member of JSON the text is escaped once more.
  return { cut: cut(text, MAX_STORED_BYTES / 2) }
}

/** What the column can hold of a text: without U+0000, and with a mark where something is missing. */
function cut(text: string, maxBytes = MAX_STORED_BYTES): string {
  const storable = text.replaceAll('\0', '\ufffd')
  const bytes = Buffer.from(storable)
  if (bytes.length <= maxBytes) return storable
  const mark = `… [cut: ${bytes.length} bytes in all]`
  const room = maxBytes - Buffer.byteLength(mark)
  // Half a character at the end is read as the replacement character.
  return (
    bytes
      .subarray(0, room)
      .toString()
      .replace(/\ufffd$/, '') + mark
  )
}
