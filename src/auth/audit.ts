import { and, desc, eq, lt } from 'drizzle-orm'
import { type Page, toPage } from '../core/cursor.ts'
import { timeOfId } from '../core/id.ts'
import type { Db, DbTx } from '../db/pool.ts'
import { auditLog } from '../db/schema.ts'

/** Who did what to what. */
export interface AuditEntry {
  readonly orgId: string
  readonly principalId: string
  /** noun.past, like `webhook.created`. */
  readonly action: string
  /** The id of what it was done to. */
  readonly target: string
  /** Never a secret, never content. */
  readonly detail?: Readonly<Record<string, unknown>>
}

/** What people changed, in the transaction that changes it where there is one. */
export function makeAudit({ db }: { readonly db: Db }) {
  return {
    async record(entry: AuditEntry, tx: Db | DbTx = db): Promise<void> {
      await tx.insert(auditLog).values({ ...entry, detail: { ...entry.detail } })
    },

    /** Newest first. */
    async list(orgId: string, page: Page) {
      const rows = await db
        .select()
        .from(auditLog)
        .where(
          and(
            eq(auditLog.orgId, orgId),
            page.after === null ? undefined : lt(auditLog.id, page.after),
          ),
        )
        .orderBy(desc(auditLog.id))
        .limit(page.limit + 1)
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      const entries = shown.map((row) => ({
        id: row.id,
        at: timeOfId(row.id).toISOString(),
        principal: row.principalId,
        action: row.action,
        target: row.target,
        detail: row.detail,
      }))
      return { entries, nextCursor }
    },
  }
}
