import { createHash, createSecretKey, type KeyObject } from 'node:crypto'
import type { Secret } from '../core/secret.ts'
import { decrypt, encrypt } from './aes.ts'
import { type KeyWrapper, unknownMasterKey, wrapAad } from './key-wrapper.ts'
import { KeyringError } from './keyring-error.ts'

interface MasterKey {
  readonly id: string
  readonly key: KeyObject
}

/**
 * Master keys that this process holds itself. They are read again before the current one is used, and when one is
 * asked for that is not among them: so a key file that is rotated under a running process is followed.
 *
 * @param readKeys in base64: the one that wraps, then those that may still open
 */
export function makeLocalWrapper(
  setting: string,
  readKeys: () => readonly Secret[] | Promise<readonly Secret[]>,
): KeyWrapper {
  // Never forgotten while the process lives: a row that was read before a rotation ended may be opened after it.
  const known = new Map<string, KeyObject>()

  const readCurrent = async (): Promise<MasterKey> => {
    const keys = (await readKeys()).map(toMasterKey)
    for (const { id, key } of keys) known.set(id, key)
    const [current] = keys
    if (current === undefined) throw new KeyringError(`${setting} holds no key`)
    return current
  }

  const find = async (masterKeyId: string): Promise<KeyObject | undefined> => {
    if (!known.has(masterKeyId)) await readCurrent()
    return known.get(masterKeyId)
  }

  const keyOf = async (masterKeyId: string): Promise<KeyObject> => {
    const key = await find(masterKeyId)
    if (key === undefined) throw unknownMasterKey(masterKeyId)
    return key
  }

  return {
    setting,
    prove: async () => void (await readCurrent()),
    currentId: async () => (await readCurrent()).id,
    has: async (masterKeyId) => (await find(masterKeyId)) !== undefined,
    wrap: async (dataKey, context, by) => {
      const { id, key } = by === undefined ? await readCurrent() : { id: by, key: await keyOf(by) }
      return { wrapped: encrypt(key, wrapAad(context), dataKey), masterKeyId: id }
    },
    unwrap: async ({ wrapped, masterKeyId }, context) =>
      decrypt(await keyOf(masterKeyId), wrapAad(context), wrapped),
  }
}

function toMasterKey(text: Secret): MasterKey {
  const bytes = Buffer.from(text.reveal(), 'base64')
  const id = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  return { id, key: createSecretKey(bytes) }
}
