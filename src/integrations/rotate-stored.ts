import { AppError } from '../core/error.ts'
import { MAX_VALID_SECRETS, rotate, type StoredSecret } from '../core/rotation.ts'
import type { Keyring } from '../security/keyring.ts'
import { newSigningSecret } from '../security/signature.ts'

const MAX_LOOKS = 10

interface Stored {
  readonly keyring: Keyring
  readonly nowMs: () => number
  readonly context: Parameters<Keyring['seal']>[0]
  /** As they are stored now; null: there are none yet. Throws not found. */
  readonly read: () => Promise<Buffer | null>
  /** Where they still are as they were read. Says whether they were. */
  readonly write: (before: Buffer | null, sealed: Buffer) => Promise<boolean>
}

/**
 * A new secret, shown here and never again; the one until now stays valid for the overlap. What opens and seals may be a
 * service on the network, so it is not asked while a transaction is open; what somebody else changed meanwhile is looked at
 * again.
 *
 * @throws AppError `CONFLICT` where there would be more than ten valid ones
 */
export async function rotateStored(
  { keyring, nowMs, context, read, write }: Stored,
  overlapS: number,
) {
  const secret = newSigningSecret()
  for (let look = 1; look <= MAX_LOOKS; look += 1) {
    const before = await read()
    const stored: StoredSecret[] =
      before === null ? [] : JSON.parse(await keyring.open(context, before))
    const rotated = rotate(stored, secret, overlapS, nowMs())
    if (rotated === null) throw tooManySecrets()
    const sealed = await keyring.seal(context, JSON.stringify(rotated.secrets))
    if (await write(before, sealed)) return { secret, previousExpiresAt: rotated.previousExpiresAt }
  }
  throw new AppError('CONFLICT', 'The secret is being rotated by others at this moment: try again.')
}

function tooManySecrets(): AppError {
  const message = `there are ${MAX_VALID_SECRETS} valid secrets already; wait for one to expire, or drop the older ones with overlapSeconds: 0`
  return new AppError('CONFLICT', `overlapSeconds: ${message}`, {
    details: [{ path: 'overlapSeconds', message }],
  })
}
