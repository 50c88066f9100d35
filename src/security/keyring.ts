import { createSecretKey, type KeyObject } from 'node:crypto'
import { AES_HEADER_BYTES, decrypt, encrypt } from './aes.ts'
import { addDataKey, addFirstDataKey, type DataKeyDeps, type WrappedKey } from './data-key.ts'
import { assertOpens } from './key-check.ts'
import { KeyringError } from './keyring-error.ts'

const VERSION = 1
const KEY_ID_BYTES = 16
const HEADER_BYTES = 1 + KEY_ID_BYTES + AES_HEADER_BYTES
/** How long an opened data key is used before the master key is asked again, and how many are kept. */
const KEPT_MS = 3_600_000
const MAX_KEPT = 10_000

/** Where a sealed value lives. Bound into the ciphertext: moved to another row, column or org, it does not open. */
export interface SealContext {
  readonly orgId: string
  readonly table: string
  readonly column: string
  readonly rowId: string
}

/** The row id of a key of several parts: escaped, so that no other parts have the same one. Part of the stored format. */
export function toRowId(rowKey: readonly string[]): string {
  return rowKey.map((part) => part.replaceAll('%', '%25').replaceAll('/', '%2F')).join('/')
}

/**
 * Secrets at rest: AES-256-GCM under a data key per org, wrapped by the master key.
 *
 * Both throw AppError `UNAVAILABLE` where whoever keeps the master key cannot be reached and the data key is not at hand.
 */
export interface Keyring {
  readonly seal: (context: SealContext, text: string) => Promise<Buffer>
  /** Has an org's key at hand, before something is done whose outcome must be sealed. */
  readonly prepare: (orgId: string) => Promise<void>
  /** Throws KeyringError for a value that was sealed elsewhere, by another key, or changed. */
  readonly open: (context: SealContext, sealed: Buffer) => Promise<string>
}

interface KeyringDeps extends DataKeyDeps {
  /** Of a clock that only moves forward. */
  readonly nowMs?: () => number
}

interface KeptKey {
  readonly key: Promise<KeyObject>
  readonly endsAtMs: number
}

/**
 * Opens the keyring and proves that every master key the database was sealed with is at hand, before anything is served.
 *
 * @throws KeyringError when one is not
 */
export async function openKeyring(deps: KeyringDeps): Promise<Keyring> {
  const { wrapper, store, nowMs = () => performance.now() } = deps
  const kept = new Map<string, KeptKey>()

  const unwrap = async (orgId: string, row: WrappedKey): Promise<KeyObject> => {
    const bytes = await wrapper.unwrap(row, { orgId, dataKeyId: row.id })
    const key = createSecretKey(bytes)
    bytes.fill(0)
    return key
  }

  /** Loads a key once, also when many ask for it at the same time. */
  const keep = (orgId: string, keyId: string, load: () => Promise<KeyObject>) => {
    const name = `${keyId}/${orgId}`
    const known = kept.get(name)
    if (known !== undefined && known.endsAtMs > nowMs()) return known.key
    const key = load()
    kept.delete(name)
    kept.set(name, { key, endsAtMs: nowMs() + KEPT_MS })
    key.catch(() => kept.get(name)?.key === key && kept.delete(name))
    const [oldest] = kept.keys()
    if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest)
    return key
  }

  const newest = async (orgId: string): Promise<WrappedKey> => {
    const [row] = await store.list(orgId)
    if (row !== undefined) return row
    await addDataKey(deps, orgId)
    const [made] = await store.list(orgId)
    if (made === undefined) throw new KeyringError('the org has no data key')
    return made
  }

  const [own] = await store.list('')
  await wrapper.prove(own?.masterKeyId)
  if (own === undefined) {
    await assertOpens(deps)
    await addFirstDataKey(deps)
  }
  // After it is certain that there is one: of two processes that meet here with a key each, only one was first.
  await assertOpens(deps)

  /** The newest in the database, never a remembered one: keys are rotated, and an org may be deleted and made again. */
  const current = async (orgId: string) => {
    const row = await newest(orgId)
    return { id: row.id, key: await keep(orgId, row.id, () => unwrap(orgId, row)) }
  }

  return {
    prepare: async (orgId) => void (await current(orgId)),
    seal: async (context, text) => {
      const { id, key } = await current(context.orgId)
      const sealed = encrypt(key, additionalData(context, id), Buffer.from(text))
      return Buffer.concat([Buffer.of(VERSION), uuidBytes(id), sealed])
    },
    open: async (context, sealed) => {
      if (sealed[0] !== VERSION || sealed.length < HEADER_BYTES) {
        throw new KeyringError('not a sealed value')
      }
      const keyId = uuidText(sealed.subarray(1, 1 + KEY_ID_BYTES))
      const key = await keep(context.orgId, keyId, async () => {
        const row = (await store.list(context.orgId)).find(({ id }) => id === keyId)
        if (row === undefined) throw new KeyringError('sealed under a key that is not known here')
        return unwrap(context.orgId, row)
      })
      const rest = sealed.subarray(1 + KEY_ID_BYTES)
      return decrypt(key, additionalData(context, keyId), rest).toString()
    },
  }
}

function additionalData(context: SealContext, keyId: string): Buffer {
  const { orgId, table, column, rowId } = context
  return Buffer.from(JSON.stringify([VERSION, keyId, orgId, table, column, rowId]))
}

function uuidBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return [0, 8, 12, 16, 20].map((start, i, all) => hex.slice(start, all[i + 1])).join('-')
}
