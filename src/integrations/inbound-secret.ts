import { and, eq, isNull } from 'drizzle-orm'
import type { Actor } from '../core/actor.ts'
import { type StoredSecret, validSecrets } from '../core/rotation.ts'
import { orgIntegrations } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Keyring } from '../security/keyring.ts'
import { newSigningSecret } from '../security/signature.ts'
import type { WriteAudit } from './audit.ts'
import { sealContextOf } from './credentials.ts'
import { rotateStored } from './rotate-stored.ts'

interface InboundSecretDeps {
  readonly inOrg: InOrg
  readonly keyring: Keyring
  readonly nowMs: () => number
  readonly audit: WriteAudit
  /** Throws not found. */
  readonly find: (orgId: string, id: string) => Promise<{ readonly inboundSecrets: Buffer | null }>
}

/** The first secret of an integration whose requests to us are signed with one of ours, and the column that keeps it. */
export async function newInboundSecret(keyring: Keyring, orgId: string, id: string) {
  const secret = newSigningSecret()
  const stored: StoredSecret[] = [{ secret, expiresAt: null }]
  const context = sealContextOf(orgId, id, 'inbound_secrets')
  return { secret, inboundSecrets: await keyring.seal(context, JSON.stringify(stored)) }
}

/** Those that are valid, newest first. */
export async function openInboundSecrets(
  keyring: Pick<Keyring, 'open'>,
  orgId: string,
  id: string,
  sealed: Buffer | null,
  nowMs: number,
): Promise<string[]> {
  if (sealed === null) return []
  const context = sealContextOf(orgId, id, 'inbound_secrets')
  const stored: StoredSecret[] = JSON.parse(await keyring.open(context, sealed))
  return validSecrets(stored, nowMs).map(({ secret }) => secret)
}

/** A new secret for what is sent to us; while the older one is valid, either will do. */
export function makeRotateInboundSecret({ inOrg, keyring, nowMs, audit, find }: InboundSecretDeps) {
  return (orgId: string, id: string, overlapS: number, by: Actor) =>
    rotateStored(
      {
        keyring,
        nowMs,
        context: sealContextOf(orgId, id, 'inbound_secrets'),
        read: async () => (await find(orgId, id)).inboundSecrets,
        write: (before, inboundSecrets) =>
          inOrg(orgId, async (tx) => {
            const { orgId: ofOrg, id: ofId, inboundSecrets: kept } = orgIntegrations
            const isAsRead = before === null ? isNull(kept) : eq(kept, before)
            const stored = await tx
              .update(orgIntegrations)
              .set({ inboundSecrets })
              .where(and(eq(ofOrg, orgId), eq(ofId, id), isAsRead))
              .returning({ id: ofId })
            if (stored.length === 0) return false
            const detail = { overlapSeconds: overlapS }
            const action = 'integration.inbound_secret_rotated'
            await audit({ orgId, by, action, target: id, detail }, tx)
            return true
          }),
      },
      overlapS,
    )
}
