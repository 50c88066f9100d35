import { and, desc, eq, lt } from 'drizzle-orm'
import type { AuditEntry } from '../core/actor.ts'
import { type Page, toPage } from '../core/cursor.ts'
import { timeOfId } from '../core/id.ts'
import type { DbTx } from '../db/pool.ts'
import { auditLog } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'

/** What people did, in the transaction that does it. Nothing changes or takes out a line: the API's role cannot. */
export function makeAudit({ inOrg }: { readonly inOrg: InOrg }) {
  return {
    async record({ by, detail, ...entry }: AuditEntry, tx: DbTx): Promise<void> {
      await tx.insert(auditLog).values({ ...entry, ...by, detail: { ...detail } })
    },

    /** Newest first. */
    async list(orgId: string, page: Page) {
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select()
          .from(auditLog)
          .where(
            and(
              eq(auditLog.orgId, orgId),
              page.after === null ? undefined : lt(auditLog.id, page.after),
            ),
          )
          .orderBy(desc(auditLog.id))
          .limit(page.limit + 1),
      )
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      const entries = shown.map((row) => ({
        id: row.id,
        at: timeOfId(row.id).toISOString(),
        principal: row.principalId,
        action: row.action,
        target: row.target,
        address: row.address,
        requestId: row.requestId,
        detail: row.detail,
      }))
      return { entries, nextCursor }
    },
  }
}
