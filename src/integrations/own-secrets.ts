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

/** What a secret of ours signs: requests of a program to us, or the calls of an integration's tools. */
export type OwnSecretKind = 'inbound' | 'tool'

const COLUMNS = {
  inbound: { name: 'inbound_secrets', member: 'inboundSecrets' },
  tool: { name: 'tool_secrets', member: 'toolSecrets' },
} as const

interface OwnSecretDeps {
  readonly inOrg: InOrg
  readonly keyring: Keyring
  readonly nowMs: () => number
  readonly audit: WriteAudit
  /** Throws not found. */
  readonly find: (
    orgId: string,
    id: string,
  ) => Promise<{ readonly inboundSecrets: Buffer | null; readonly toolSecrets: Buffer | null }>
}

/** The first secret of an integration, and what its column keeps. */
export async function newOwnSecret(
  keyring: Pick<Keyring, 'seal'>,
  orgId: string,
  id: string,
  kind: OwnSecretKind,
) {
  const secret = newSigningSecret()
  const stored: StoredSecret[] = [{ secret, expiresAt: null }]
  const context = sealContextOf(orgId, id, COLUMNS[kind].name)
  return { secret, sealed: await keyring.seal(context, JSON.stringify(stored)) }
}

/** Those that are valid, newest first. */
export async function openOwnSecrets(
  keyring: Pick<Keyring, 'open'>,
  orgId: string,
  id: string,
  kind: OwnSecretKind,
  sealed: Buffer | null,
  nowMs: number,
): Promise<string[]> {
  if (sealed === null) return []
  const context = sealContextOf(orgId, id, COLUMNS[kind].name)
  const stored: StoredSecret[] = JSON.parse(await keyring.open(context, sealed))
  return validSecrets(stored, nowMs).map(({ secret }) => secret)
}

/** Of an integration that is older than the signing of its tools' calls: whoever is first makes it. */
export async function firstToolSecret(
  { inOrg, keyring }: Pick<OwnSecretDeps, 'inOrg' | 'keyring'>,
  orgId: string,
  id: string,
): Promise<Buffer | null> {
  const { sealed } = await newOwnSecret(keyring, orgId, id, 'tool')
  const { orgId: ofOrg, id: ofId, toolSecrets } = orgIntegrations
  const isIt = and(eq(ofOrg, orgId), eq(ofId, id), isNull(orgIntegrations.deletedAt))
  return inOrg(orgId, async (tx) => {
    await tx
      .update(orgIntegrations)
      .set({ toolSecrets: sealed })
      .where(and(isIt, isNull(toolSecrets)))
    const [row] = await tx.select({ toolSecrets }).from(orgIntegrations).where(isIt)
    return row?.toolSecrets ?? null
  })
}

/** A new secret; while the older one is valid, it signs too, or is taken too. */
export function makeRotateOwnSecret({ inOrg, keyring, nowMs, audit, find }: OwnSecretDeps) {
  return (kind: OwnSecretKind, orgId: string, id: string, overlapS: number, by: Actor) => {
    const { name, member } = COLUMNS[kind]
    return rotateStored(
      {
        keyring,
        nowMs,
        context: sealContextOf(orgId, id, name),
        read: async () => (await find(orgId, id))[member],
        write: (before, sealed) =>
          inOrg(orgId, async (tx) => {
            const { orgId: ofOrg, id: ofId, [member]: kept } = orgIntegrations
            const isAsRead = before === null ? isNull(kept) : eq(kept, before)
            const stored = await tx
              .update(orgIntegrations)
              .set({ [member]: sealed })
              .where(and(eq(ofOrg, orgId), eq(ofId, id), isAsRead))
              .returning({ id: ofId })
            if (stored.length === 0) return false
            const detail = { overlapSeconds: overlapS }
            const action = `integration.${kind}_secret_rotated`
            await audit({ orgId, by, action, target: id, detail }, tx)
            return true
          }),
      },
      overlapS,
    )
  }
}
