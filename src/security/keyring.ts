import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import type { Secret } from '../core/secret.ts'

const VERSION = 1
const IV_BYTES = 12
const TAG_BYTES = 16
const KEY_ID_BYTES = 16
const HEADER_BYTES = 1 + KEY_ID_BYTES + IV_BYTES + TAG_BYTES
const MAX_CACHED_ORGS = 10_000

/** Where a sealed value lives. Bound into the ciphertext: moved to another row, column or org, it does not open. */
export interface SealContext {
  readonly orgId: string
  readonly table: string
  readonly column: string
  readonly rowId: string
}

/** An org's data key, wrapped by the master key. */
export interface WrappedKey {
  readonly id: string
  readonly wrapped: Buffer
  readonly masterKeyId: string
}

/** Keeps wrapped data keys. `orgId` '' is the installation itself. */
export interface DataKeyStore {
  /** Newest first. */
  readonly list: (orgId: string) => Promise<WrappedKey[]>
  readonly add: (orgId: string, key: WrappedKey) => Promise<void>
}

/** Secrets at rest: AES-256-GCM under a data key per org, wrapped by the master key. */
export interface Keyring {
  readonly seal: (context: SealContext, text: string) => Promise<Buffer>
  /** Throws KeyringError for a value that was sealed elsewhere, by another key, or changed. */
  readonly open: (context: SealContext, sealed: Buffer) => Promise<string>
}

export class KeyringError extends Error {
  override readonly name = 'KeyringError'
}

interface DataKey {
  readonly id: string
  readonly key: Buffer
}

interface KeyringDeps {
  readonly masterKey: Secret
  readonly store: DataKeyStore
  readonly newId: () => string
}

/**
 * Opens the keyring and proves that the master key is the one this database was sealed with, before anything is served.
 *
 * @throws KeyringError when it is not
 */
export async function openKeyring(deps: KeyringDeps): Promise<Keyring> {
  const master = Buffer.from(deps.masterKey.reveal(), 'base64')
  const masterKeyId = createHash('sha256').update(master).digest('hex').slice(0, 16)
  const cache = new Map<string, Promise<readonly DataKey[]>>()

  const unwrap = (orgId: string, row: WrappedKey): DataKey => {
    if (row.masterKeyId !== masterKeyId) {
      throw new KeyringError(
        `MASTER_KEY is not the key this database was sealed with (its id is ${masterKeyId}, the database wants ${row.masterKeyId}).`,
      )
    }
    return { id: row.id, key: decrypt(master, wrapContext(orgId, row.id), row.wrapped) }
  }

  const load = async (orgId: string): Promise<readonly DataKey[]> => {
    const rows = await deps.store.list(orgId)
    if (rows.length > 0) return rows.map((row) => unwrap(orgId, row))
    const id = deps.newId()
    const wrapped = encrypt(master, wrapContext(orgId, id), randomBytes(32))
    await deps.store.add(orgId, { id, wrapped, masterKeyId })
    return (await deps.store.list(orgId)).map((row) => unwrap(orgId, row))
  }

  const keysOf = (orgId: string): Promise<readonly DataKey[]> => {
    const known = cache.get(orgId)
    if (known !== undefined) return known
    const loading = load(orgId)
    cache.set(orgId, loading)
    loading.catch(() => cache.delete(orgId))
    const [oldest] = cache.keys()
    if (cache.size > MAX_CACHED_ORGS && oldest !== undefined) cache.delete(oldest)
    return loading
  }

  /** Looks again in the database for a key it does not know: another process may have made it meanwhile. */
  const findKey = async (orgId: string, keyId: string): Promise<DataKey | undefined> => {
    const isIt = (candidate: DataKey) => candidate.id === keyId
    const known = (await keysOf(orgId)).find(isIt)
    if (known !== undefined) return known
    cache.delete(orgId)
    return (await keysOf(orgId)).find(isIt)
  }

  await keysOf('')

  return {
    seal: async (context, text) => {
      // Never by a remembered key: the org may have been deleted and made again since.
      cache.delete(context.orgId)
      const [current] = await keysOf(context.orgId)
      if (current === undefined) throw new KeyringError('the org has no data key')
      const sealed = encrypt(current.key, additionalData(context, current.id), Buffer.from(text))
      return Buffer.concat([Buffer.of(VERSION), uuidBytes(current.id), sealed])
    },
    open: async (context, sealed) => {
      if (sealed[0] !== VERSION || sealed.length < HEADER_BYTES) {
        throw new KeyringError('not a sealed value')
      }
      const keyId = uuidText(sealed.subarray(1, 1 + KEY_ID_BYTES))
      const key = await findKey(context.orgId, keyId)
      if (key === undefined) throw new KeyringError('sealed under a key that is not known here')
      const rest = sealed.subarray(1 + KEY_ID_BYTES)
      return decrypt(key.key, additionalData(context, keyId), rest).toString()
    },
  }
}

function additionalData(context: SealContext, keyId: string): Buffer {
  const { orgId, table, column, rowId } = context
  return Buffer.from(JSON.stringify([VERSION, keyId, orgId, table, column, rowId]))
}

function wrapContext(orgId: string, keyId: string): Buffer {
  return Buffer.from(JSON.stringify([VERSION, 'data_keys', orgId, keyId]))
}

function encrypt(key: Buffer, aad: Buffer, plain: Buffer): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(aad)
  const text = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), text])
}

function decrypt(key: Buffer, aad: Buffer, sealed: Buffer): Buffer {
  const iv = sealed.subarray(0, IV_BYTES)
  const tag = sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES)
  try {
    // Without authTagLength, Node accepts a tag that was cut to four bytes.
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
    decipher.setAAD(aad)
    decipher.setAuthTag(tag)
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES)), decipher.final()])
  } catch (error) {
    throw new KeyringError('a sealed value does not belong here, or was changed', { cause: error })
  }
}

function uuidBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return [0, 8, 12, 16, 20].map((start, i, all) => hex.slice(start, all[i + 1])).join('-')
}
