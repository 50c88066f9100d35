import { and, eq, sql } from 'drizzle-orm'
import type { Actor } from '../core/actor.ts'
import { webhookSubscriptions } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Keyring } from '../security/keyring.ts'
import type { WriteAudit } from './audit.ts'
import { rotateStored } from './rotate-stored.ts'
import { sealContext } from './subscription.ts'

interface RotateSecretDeps {
  readonly inOrg: InOrg
  readonly keyring: Keyring
  readonly nowMs: () => number
  readonly audit: WriteAudit
  /** Throws not found. */
  readonly find: (
    orgId: string,
    integrationId: string,
    id: string,
  ) => Promise<{ readonly secrets: Buffer }>
}

/** A new secret for what a subscription sends; while the older one is valid, both sign. */
export function makeRotateSecret({ inOrg, keyring, nowMs, audit, find }: RotateSecretDeps) {
  return (orgId: string, integrationId: string, id: string, overlapS: number, by: Actor) =>
    rotateStored(
      {
        keyring,
        nowMs,
        context: sealContext(orgId, id, 'secrets'),
        read: async () => (await find(orgId, integrationId, id)).secrets,
        write: (before, secrets) =>
          inOrg(orgId, async (tx) => {
            const { orgId: ofOrg, id: ofId, secrets: kept, revision } = webhookSubscriptions
            const stored = await tx
              .update(webhookSubscriptions)
              .set({ secrets, revision: sql`${revision} + 1`, updatedAt: sql`now()` })
              .where(and(eq(ofOrg, orgId), eq(ofId, id), eq(kept, before ?? Buffer.alloc(0))))
              .returning({ id: ofId })
            if (stored.length === 0) return false
            const detail = { overlapSeconds: overlapS }
            await audit({ orgId, by, action: 'webhook.secret_rotated', target: id, detail }, tx)
            return true
          }),
      },
      overlapS,
    )
}
