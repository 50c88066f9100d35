import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'
import { KeyringError } from './keyring-error.ts'

const IV_BYTES = 12
const TAG_BYTES = 16
/** What stands before the text: a random IV and the tag. */
export const AES_HEADER_BYTES = IV_BYTES + TAG_BYTES

/** AES-256-GCM: IV, tag, text. `aad` is not in it, and must be the same to decrypt it. */
export function encrypt(key: KeyObject, aad: Buffer, plain: Buffer): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(aad)
  const text = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), text])
}

/** Throws KeyringError for another key, another `aad`, or bytes that were changed. */
export function decrypt(key: KeyObject, aad: Buffer, sealed: Buffer): Buffer {
  const iv = sealed.subarray(0, IV_BYTES)
  const tag = sealed.subarray(IV_BYTES, AES_HEADER_BYTES)
  try {
    // Without authTagLength, Node accepts a tag that was cut to four bytes.
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
    decipher.setAAD(aad)
    decipher.setAuthTag(tag)
    return Buffer.concat([decipher.update(sealed.subarray(AES_HEADER_BYTES)), decipher.final()])
  } catch (error) {
    throw new KeyringError('a sealed value does not belong here, or was changed', { cause: error })
  }
}
