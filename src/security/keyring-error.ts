/** A secret that does not open, or a master key that is not the one: for good, not for a moment. */
export class KeyringError extends Error {
  override readonly name = 'KeyringError'
}
