import type { Keyring } from '../../src/security/keyring.ts'

/** Seals nothing: what encryption costs shows in comparison with this. */
export const plainKeyring: Keyring = {
  prepare: () => Promise.resolve(),
  seal: (_, text) => Promise.resolve(Buffer.from(text)),
  open: (_, sealed) => Promise.resolve(sealed.toString()),
}
