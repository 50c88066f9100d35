import { desc, eq, lt, sql } from 'drizzle-orm'
import type { Actor, AuditEntry } from '../core/actor.ts'
import { type Page, toPage } from '../core/cursor.ts'
import { AppError, notFound } from '../core/error.ts'
import type { Db, DbTx } from '../db/pool.ts'
import { orgs } from '../db/schema.ts'

export interface Org {
  readonly id: string
  readonly name: string
  readonly createdAt: string
}

/** Without a foreign key to `orgs`, because a key would lock the org's row in hot transactions or span partitions. */
const LOOSE_TABLES = [
  // First what is not fanned out yet: the delete waits for a fan-out that has it, and then sees the rows that one made.
  'outbox_pending',
  'outbox_keys',
  'outbox_events',
  'webhook_delivery_log',
  'subscription_health',
  'subscription_states',
  'recoveries',
  'audit_log',
  'tool_runs',
  'subscription_patterns',
  'idempotency_keys',
  'data_keys',
  // Last, because its deletion may hold up the fan-out of others until this transaction ends.
  'delivery_queue',
] as const

interface OrgsDeps {
  /** The installation's own: it sees every org. */
  readonly db: Db
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
  readonly newId: () => string
}

/** The organizations of this installation; for super-admins alone. */
export function makeOrgs({ db, audit, newId }: OrgsDeps) {
  return {
    /** Throws `CONFLICT` where the id is taken. */
    async create(input: { id?: string | undefined; name: string }, by: Actor): Promise<Org> {
      const id = input.id ?? newId()
      return db.transaction(async (tx) => {
        const [row] = await tx
          .insert(orgs)
          .values({ id, name: input.name })
          .onConflictDoNothing()
          .returning()
        if (row === undefined) throw new AppError('CONFLICT', `There is an org ${id} already.`)
        await audit({ orgId: id, by, action: 'org.created', target: id }, tx)
        return toOrg(row)
      })
    },

    /** As people know it; its id, where it is gone. */
    async nameOf(orgId: string): Promise<string> {
      const [row] = await db.select({ name: orgs.name }).from(orgs).where(eq(orgs.id, orgId))
      return row?.name ?? orgId
    },

    /** Newest first. */
    async list(page: Page) {
      const rows = await db
        .select()
        .from(orgs)
        .where(
          page.after === null
            ? undefined
            : lt(
                sql`(${orgs.createdAt}, ${orgs.id})`,
                sql`(select o.created_at, o.id from patchbay.orgs as o where o.id = ${page.after})`,
              ),
        )
        .orderBy(desc(orgs.createdAt), desc(orgs.id))
        .limit(page.limit + 1)
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { orgs: shown.map(toOrg), nextCursor }
    },

    /** Everything of the org goes, its history too. That it went stands in the installation's own audit log. */
    async remove(orgId: string, by: Actor): Promise<void> {
      await db.transaction(async (tx) => {
        const gone = await tx.delete(orgs).where(eq(orgs.id, orgId)).returning({ id: orgs.id })
        if (gone.length === 0) throw notFound('org')
        for (const table of LOOSE_TABLES) await deleteAll(tx, table, orgId)
        await audit({ orgId: '', by, action: 'org.deleted', target: orgId }, tx)
      })
    },
  }
}

async function deleteAll(tx: DbTx, table: (typeof LOOSE_TABLES)[number], orgId: string) {
  await tx.execute(
    sql`delete from ${sql.identifier('patchbay')}.${sql.identifier(table)} where org_id = ${orgId}`,
  )
}

function toOrg(row: typeof orgs.$inferSelect): Org {
  return { id: row.id, name: row.name, createdAt: row.createdAt.toISOString() }
}
