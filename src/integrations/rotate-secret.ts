import { and, eq, sql } from 'drizzle-orm'
import type { Actor } from '../core/actor.ts'
import { AppError } from '../core/error.ts'
import { MAX_VALID_SECRETS, rotate, type StoredSecret } from '../core/rotation.ts'
import { webhookSubscriptions } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Keyring } from '../security/keyring.ts'
import { newSigningSecret } from '../security/signature.ts'
import type { WriteAudit } from './audit.ts'
import { sealContext } from './subscription.ts'

const MAX_LOOKS = 10

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

/**
 * A new secret, shown here and never again; the one until now stays valid for the overlap, and both sign. What opens and seals
 * may be a service on the network, so it is not asked while a transaction is open; what somebody else changed meanwhile is
 * looked at again.
 *
 * @throws AppError `CONFLICT` where there would be more than ten valid ones
 */
export function makeRotateSecret({ inOrg, keyring, nowMs, audit, find }: RotateSecretDeps) {
  return async (orgId: string, integrationId: string, id: string, overlapS: number, by: Actor) => {
    const secret = newSigningSecret()
    const context = sealContext(orgId, id, 'secrets')
    for (let look = 1; look <= MAX_LOOKS; look += 1) {
      const before = await find(orgId, integrationId, id)
      const stored: StoredSecret[] = JSON.parse(await keyring.open(context, before.secrets))
      const rotated = rotate(stored, secret, overlapS, nowMs())
      if (rotated === null) throw tooManySecrets()
      const secrets = await keyring.seal(context, JSON.stringify(rotated.secrets))
      const isStored = await inOrg(orgId, async (tx) => {
        const { orgId: ofOrg, id: ofId, secrets: kept, revision } = webhookSubscriptions
        const stored = await tx
          .update(webhookSubscriptions)
          .set({ secrets, revision: sql`${revision} + 1`, updatedAt: sql`now()` })
          .where(and(eq(ofOrg, orgId), eq(ofId, id), eq(kept, before.secrets)))
          .returning({ id: ofId })
        if (stored.length === 0) return false
        const detail = { overlapSeconds: overlapS }
        await audit({ orgId, by, action: 'webhook.secret_rotated', target: id, detail }, tx)
        return true
      })
      if (isStored) return { secret, previousExpiresAt: rotated.previousExpiresAt }
    }
    throw new AppError(
      'CONFLICT',
      'The secret is being rotated by others at this moment: try again.',
    )
  }
}

function tooManySecrets(): AppError {
  const message = `there are ${MAX_VALID_SECRETS} valid secrets already; wait for one to expire, or drop the older ones with overlapSeconds: 0`
  return new AppError('CONFLICT', `overlapSeconds: ${message}`, {
    details: [{ path: 'overlapSeconds', message }],
  })
}
