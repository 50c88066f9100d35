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
  /** One of each master key: the newest of the installation's own, where it wraps one. */
  readonly samples: () => Promise<readonly WrappedSample[]>
  /** Adds a key if, and as long as, one of the installation's own is wrapped by this master key. Says whether it did. */
  readonly add: (orgId: string, key: WrappedKey, ownMasterKeyId: string) => Promise<boolean>
  /** Adds the installation's own first key, unless it has one: of many that come at once, one is added. */
  readonly addFirst: (key: WrappedKey) => Promise<void>
}

export interface DataKeyDeps {
  readonly wrapper: KeyWrapper
  readonly store: DataKeyStore
  readonly newId: () => string
}

/**
 * Makes an org a new data key, wrapped by what wraps the installation's own: not by what this process was told to wrap by, for
 * others may have other settings. A rotation of the master key re-wraps the installation's own first. Until then whoever has
 * the old key opens all there is; from then on nothing more is wrapped by it, so that it can be thrown away.
 */
export async function addDataKey(deps: DataKeyDeps, orgId: string): Promise<void> {
  const { wrapper, store } = deps
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    // Read first: what Vault then wraps by is this version of its key, or a later one.
    const [own] = await store.list('')
    if (own === undefined) throw new KeyringError('the installation has no data key')
    if (!(await wrapper.has(own.masterKeyId))) {
      throw new KeyringError(
        `${wrapper.setting} is not the key this database is sealed with any more: it was rotated to ${own.masterKeyId}. Restart this process with that key.`,
      )
    }
    const key = await makeDataKey(deps, orgId, own.masterKeyId)
    if (await store.add(orgId, key, own.masterKeyId)) return
  }
  throw new KeyringError('no data key could be added: the master key is being rotated')
}

/** Makes the installation its own first data key, by the current master key. Another process may be faster, with its own. */
export async function addFirstDataKey(deps: DataKeyDeps): Promise<void> {
  await deps.store.addFirst(await makeDataKey(deps, ''))
}

async function makeDataKey(deps: DataKeyDeps, orgId: string, by?: string): Promise<WrappedKey> {
  const id = deps.newId()
  const dataKey = randomBytes(32)
  const wrapped = await deps.wrapper.wrap(dataKey, { orgId, dataKeyId: id }, by)
  dataKey.fill(0)
  return { id, ...wrapped }
}
