import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import { makeNewId } from '../core/id.ts'
import { makeDataKeyStore, makeRewrapStore } from '../db/data-keys.ts'
import { makeResealStore, startOf } from '../db/sealed-values.ts'
import { addDataKey } from '../security/data-key.ts'
import { assertOpens } from '../security/key-check.ts'
import type { KeyWrapper } from '../security/key-wrapper.ts'
import { openKeyring } from '../security/keyring.ts'
import type { MasterKeyFile } from '../security/master-key-file.ts'
import { type Resealed, resealValues } from '../security/reseal.ts'
import { type Rewrapped, rewrapDataKeys } from '../security/rewrap.ts'

export interface RotationDeps {
  readonly pool: Pool
  readonly wrapper: KeyWrapper
  /** What there is to tell, a line at a time. */
  readonly say: (line: string) => void
  /** How far it has come; the next one makes it old. */
  readonly progress: (line: string) => void
  readonly signal: AbortSignal
}

/**
 * Wraps every data key by the current master key; for an embedded installation (`keyFile`) makes that key first, and throws
 * the one before away when nothing is wrapped by it. Others rotate with one lock held over it.
 */
export async function rotateMasterKey(
  { pool, wrapper, progress, signal }: RotationDeps,
  keyFile: MasterKeyFile | null,
): Promise<Rewrapped> {
  await wrapper.prove()
  // Before a new key is made: with a wrong one there is nothing to rotate.
  await assertOpens({ wrapper, store: makeDataKeyStore(pool) })
  await keyFile?.beginRotation()
  const done = await rewrapDataKeys({
    wrapper,
    ...makeRewrapStore(pool),
    signal,
    onProgress: (rewrapped, found) => {
      if (found > 0) progress(`${rewrapped} data keys re-wrapped …`)
    },
  })
  signal.throwIfAborted()
  if (done.outdated === 0) await keyFile?.endRotation()
  return done
}

export interface DataKeysRotated extends Resealed {
  readonly orgs: number
  readonly deleted: number
  /** Old data keys that are still there. */
  readonly kept: number
}

/**
 * Gives every org a new data key and seals every value under it; then, after `graceS`, deletes the old ones. The grace is for
 * a value that was sealed before the new key was there, and is written after we looked.
 */
export async function rotateDataKeys(
  { pool, wrapper, say, progress, signal }: RotationDeps,
  graceS: number,
): Promise<DataKeysRotated> {
  const newId = makeNewId({ nowMs: Date.now, randomBytes })
  const store = makeDataKeyStore(pool)
  const values = makeResealStore(pool)
  const keyring = await openKeyring({ wrapper, store, newId })
  const orgs = await values.listOrgs()
  for (const orgId of orgs) {
    signal.throwIfAborted()
    await addDataKey({ wrapper, store, newId }, orgId)
  }
  say(`${orgs.length} new data keys made, one an org`)
  const reseal = () =>
    resealValues({
      keyring,
      ...values,
      startOf,
      signal,
      onProgress: (resealed) => {
        if (resealed > 0) progress(`${resealed} values sealed again …`)
      },
    })
  const first = await reseal()
  if (graceS > 0) {
    say(
      `Waiting ${graceS} s for what was being written meanwhile. Nothing is lost if you stop here.`,
    )
    await sleep(graceS * 1000, undefined, { signal })
  }
  const late = await reseal()
  return {
    orgs: orgs.length,
    resealed: first.resealed + late.resealed,
    broken: late.broken,
    deleted: await values.deleteUnused(graceS),
    kept: await values.countSuperseded(),
  }
}
