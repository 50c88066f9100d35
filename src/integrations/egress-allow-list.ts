import { eq, sql } from 'drizzle-orm'
import type { Actor } from '../core/actor.ts'
import { domainsSchema } from '../core/domains.ts'
import { AppError } from '../core/error.ts'
import { egressAllowLists } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { WriteAudit } from './audit.ts'

/** Host names, or `*.` and a name for everything under it; null: whatever the operator allows. */
export type Domains = readonly string[] | null

interface EgressAllowListsDeps {
  readonly inOrg: InOrg
  readonly audit: WriteAudit
}

/** The hosts that an org itself allows its webhooks and tools to call: it narrows what the operator allows. */
export function makeEgressAllowLists({ inOrg, audit }: EgressAllowListsDeps) {
  async function get(orgId: string): Promise<Domains> {
    const [row] = await inOrg(orgId, (tx) =>
      tx
        .select({ domains: egressAllowLists.domains })
        .from(egressAllowLists)
        .where(eq(egressAllowLists.orgId, orgId)),
    )
    return row?.domains ?? null
  }

  return {
    get,

    /** Replaces the list whole. Workers know by their next claim, tools at once. Throws `INVALID_BODY` for what is no host name. */
    async put(orgId: string, given: Domains, by: Actor): Promise<Domains> {
      const domains = given === null ? null : parseDomains(given)
      await inOrg(orgId, async (tx) => {
        if (domains === null) {
          await tx.delete(egressAllowLists).where(eq(egressAllowLists.orgId, orgId))
        } else {
          await tx
            .insert(egressAllowLists)
            .values({ orgId, domains })
            .onConflictDoUpdate({
              target: egressAllowLists.orgId,
              set: { domains, updatedAt: sql`now()` },
            })
        }
        const action = 'egress_allow_list.changed'
        await audit({ orgId, by, action, target: orgId, detail: { domains } }, tx)
      })
      return domains
    },
  }
}

function parseDomains(given: readonly string[]): string[] {
  const parsed = domainsSchema.safeParse(given)
  if (parsed.success) return parsed.data
  const details = parsed.error.issues.map((issue) => ({
    path: ['domains', ...issue.path.map(String)].join('.'),
    message: issue.message,
  }))
  const [first] = details
  throw new AppError('INVALID_BODY', `${first?.path}: ${first?.message}`, { details })
}
