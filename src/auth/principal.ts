import { and, eq } from 'drizzle-orm'
import { AppError, notFound } from '../core/error.ts'
import { orgMembers, orgs } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import { grantsOf, type Permission, type Requirement } from './permissions.ts'

/** Who is asking. */
export interface Principal {
  readonly id: string
  readonly isSuperadmin: boolean
  /** Permissions per org that the token itself grants, where the operator lets it. */
  readonly claimed: ReadonlyMap<string, readonly Permission[]>
}

export type Authorize = (
  principal: Principal,
  orgId: string,
  requirement: Requirement,
) => Promise<void>

/**
 * Decides whether a principal may do something in an org.
 *
 * An org that does not exist and one the principal has nothing to do with are the same: not found. Only who belongs to the
 * org learns that a permission is missing.
 */
export function makeAuthorize({ inOrg }: { readonly inOrg: InOrg }): Authorize {
  return async (principal, orgId, requirement) => {
    const [row] = await inOrg(orgId, (tx) =>
      tx
        .select({ role: orgMembers.role })
        .from(orgs)
        .leftJoin(
          orgMembers,
          and(eq(orgMembers.orgId, orgs.id), eq(orgMembers.userId, principal.id)),
        )
        .where(eq(orgs.id, orgId)),
    )
    if (row === undefined) throw notFound('org')
    if (principal.isSuperadmin) return
    const claimed = principal.claimed.get(orgId)
    if (row.role === null && claimed === undefined) throw notFound('org')
    const granted: readonly Requirement[] = [
      ...(row.role === null ? [] : grantsOf(row.role)),
      ...(claimed ?? []),
    ]
    if (!granted.includes(requirement)) {
      throw new AppError('FORBIDDEN', `This needs ${requirement} in the org.`)
    }
  }
}
