/** A secret that does not open, or a master key that is not the one: for good, not for a moment. */
export class KeyringError extends Error {
  override readonly name = 'KeyringError'
}

/**
 * Who keeps a master key says no; the cause of an AppError `UNAVAILABLE`. A process that runs waits for its token to be renewed;
 * at a start it is the operator's to mend.
 */
export class KeyDeniedError extends Error {
  override readonly name = 'KeyDeniedError'
}
