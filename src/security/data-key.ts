import { randomBytes } from 'node:crypto'
import type { KeyWrapper, Wrapped } from './key-wrapper.ts'
import { KeyringError } from './keyring-error.ts'

const MAX_TRIES = 5

/** An org's data key, wrapped by a master key. */
export interface WrappedKey extends Wrapped {
  readonly id: string
}

/** A data key, and how many more are wrapped by the same master key. */
export interface WrappedSample extends WrappedKey {
  readonly orgId: string
  readonly count: number
}

/** Keeps wrapped data keys. `orgId` '' is the installation itself. */
export interface DataKeyStore {
  /** Newest first. */
  readonly list: (orgId: string) => Promise<readonly WrappedKey[]>
  /** One of each master key. */
  readonly samples: () => Promise<readonly WrappedSample[]>
  /**
   * Adds a key if, and as long as, one of the installation's own is wrapped by one of these master keys; null: whatever they
   * are. Says whether it did.
   */
  readonly add: (
    orgId: string,
    key: WrappedKey,
    ownMasterKeyIds: readonly string[] | null,
  ) => Promise<boolean>
}

export interface DataKeyDeps {
  readonly wrapper: KeyWrapper
  readonly store: DataKeyStore
  readonly newId: () => string
}

/**
 * Makes an org a new data key. A rotation of the master key re-wraps the installation's own data key first; from then on a
 * process that has only the old master key may add none, so that nothing is left behind under a key that is thrown away.
 */
export async function addDataKey(deps: DataKeyDeps, orgId: string): Promise<void> {
  const { wrapper, store, newId } = deps
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    // Read before the wrapper reads its keys: they are then at least as new.
    const own = orgId === '' ? null : (await store.list('')).map((row) => row.masterKeyId)
    for (const masterKeyId of own ?? []) {
      if (!(await wrapper.has(masterKeyId))) {
        throw new KeyringError(
          `${wrapper.setting} is not the key this database is sealed with any more: it was rotated to ${masterKeyId}. Restart this process with that key.`,
        )
      }
    }
    const id = newId()
    const dataKey = randomBytes(32)
    const wrapped = await wrapper.wrap(dataKey, { orgId, dataKeyId: id })
    dataKey.fill(0)
    if (await store.add(orgId, { id, ...wrapped }, own)) return
  }
  throw new KeyringError('no data key could be added: the master key is being rotated')
}
