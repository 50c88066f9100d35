import { and, asc, eq } from 'drizzle-orm'
import type { Actor, AuditEntry } from '../core/actor.ts'
import { notFound } from '../core/error.ts'
import type { DbTx } from '../db/pool.ts'
import { appInstalls, orgMembers } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Role } from './permissions.ts'

interface MembersDeps {
  readonly inOrg: InOrg
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
}

/** Who belongs to an org, and as what. */
export function makeMembers({ inOrg, audit }: MembersDeps) {
  /** Whoever finishes an install is not asked again who they are: what was begun with another role is over. */
  const endInstalls = (tx: DbTx, orgId: string, userId: string) =>
    tx.delete(appInstalls).where(and(eq(appInstalls.orgId, orgId), eq(appInstalls.userId, userId)))

  return {
    async list(orgId: string) {
      return inOrg(orgId, (tx) =>
        tx
          .select({ userId: orgMembers.userId, role: orgMembers.role })
          .from(orgMembers)
          .where(eq(orgMembers.orgId, orgId))
          .orderBy(asc(orgMembers.userId)),
      )
    },

    async put(orgId: string, userId: string, role: Role, by: Actor) {
      return inOrg(orgId, async (tx) => {
        await tx
          .insert(orgMembers)
          .values({ orgId, userId, role })
          .onConflictDoUpdate({ target: [orgMembers.orgId, orgMembers.userId], set: { role } })
        await endInstalls(tx, orgId, userId)
        await audit({ orgId, by, action: 'member.put', target: userId, detail: { role } }, tx)
        return { userId, role }
      })
    },

    async remove(orgId: string, userId: string, by: Actor): Promise<void> {
      await inOrg(orgId, async (tx) => {
        const gone = await tx
          .delete(orgMembers)
          .where(and(eq(orgMembers.orgId, orgId), eq(orgMembers.userId, userId)))
          .returning({ userId: orgMembers.userId })
        if (gone.length === 0) throw notFound('member')
        await endInstalls(tx, orgId, userId)
        await audit({ orgId, by, action: 'member.removed', target: userId }, tx)
      })
    },
  }
}
