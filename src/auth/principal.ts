import { AppError, notFound } from '../core/error.ts'
import type { SendInOrg } from '../db/tenants.ts'
import { grantsOf, type Permission, type Requirement, type Role } from './permissions.ts'

const MAX_USER_ID_LENGTH = 256
const KEY_PREFIX = 'key:'

/** Who is asking. */
export interface Principal {
  /** A key has no membership: it may do what `claimed` says, in its one org. */
  readonly kind: 'user' | 'key'
  readonly id: string
  readonly isSuperadmin: boolean
  /** Permissions per org that the token itself grants, where the operator lets it. */
  readonly claimed: ReadonlyMap<string, readonly Permission[]>
}

/**
 * Whether a text can be the id of a user: storable as it is, so that no two become one, and none is the id of an API key's
 * principal.
 */
export function isUserId(text: unknown): text is string {
  return (
    typeof text === 'string' &&
    text.length >= 1 &&
    text.length <= MAX_USER_ID_LENGTH &&
    text.isWellFormed() &&
    !/\p{Cc}/u.test(text) &&
    !text.startsWith(KEY_PREFIX)
  )
}

/** How an API key stands as a principal, in the audit log and wherever something is somebody's. */
export function keyPrincipalId(keyId: string): string {
  return KEY_PREFIX + keyId
}

/** Of the key behind a principal; null for a user. */
export function keyIdOf(principalId: string): string | null {
  return principalId.startsWith(KEY_PREFIX) ? principalId.slice(KEY_PREFIX.length) : null
}

export type Authorize = (
  principal: Principal,
  orgId: string,
  requirement: Requirement,
) => Promise<void>

const MEMBER = {
  name: 'member',
  text: `
select m.role
from patchbay.orgs as o
left join patchbay.org_members as m on m.org_id = o.id and m.user_id = $2
where o.id = $1`,
}

interface MemberRow {
  /** null: no member. */
  readonly role: Role | null
}

/**
 * Decides whether a principal may do something in an org.
 *
 * An org that does not exist and one the principal has nothing to do with are the same: not found. Only who belongs to the
 * org learns that a permission is missing.
 */
export function makeAuthorize({ readInOrg }: { readonly readInOrg: SendInOrg }): Authorize {
  return async (principal, orgId, requirement) => {
    const [row] = await readInOrg<MemberRow>(orgId, MEMBER, [orgId, principal.id])
    if (row === undefined) throw notFound('org')
    if (principal.isSuperadmin) return
    const role = principal.kind === 'user' ? row.role : null
    const claimed = principal.claimed.get(orgId)
    if (role === null && claimed === undefined) throw notFound('org')
    const granted: readonly Requirement[] = [
      ...(role === null ? [] : grantsOf(role)),
      ...(claimed ?? []),
    ]
    if (!granted.includes(requirement)) {
      throw new AppError('FORBIDDEN', `This needs ${requirement} in the org.`)
    }
  }
}
