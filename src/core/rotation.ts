/** A signing secret as it is stored. Newest first, only the newest has no end. */
export interface StoredSecret {
  readonly secret: string
  /** ISO 8601; null: until it is rotated. */
  readonly expiresAt: string | null
}

/** Each secret that is still valid signs every webhook, so their number is bounded. */
export const MAX_VALID_SECRETS = 10
export const MAX_OVERLAP_S = 604_800
export const DEFAULT_OVERLAP_S = 86_400

export function validSecrets(
  stored: readonly StoredSecret[],
  nowMs: number,
): readonly StoredSecret[] {
  return stored.filter(({ expiresAt }) => expiresAt === null || Date.parse(expiresAt) > nowMs)
}

/**
 * Puts a new secret before those that are valid; the newest until now stays valid for `overlapS`. Without an overlap every
 * older one is dropped at once: that is what one does when a secret has leaked.
 *
 * @returns null where there would be more than ten valid secrets
 */
export function rotate(
  stored: readonly StoredSecret[],
  secret: string,
  overlapS: number,
  nowMs: number,
): { readonly secrets: readonly StoredSecret[]; readonly previousExpiresAt: string } | null {
  const previousExpiresAt = new Date(nowMs + overlapS * 1000).toISOString()
  const newest = { secret, expiresAt: null }
  if (overlapS === 0) return { secrets: [newest], previousExpiresAt }
  const older = validSecrets(stored, nowMs).map((entry) =>
    entry.expiresAt === null ? { ...entry, expiresAt: previousExpiresAt } : entry,
  )
  if (older.length >= MAX_VALID_SECRETS) return null
  return { secrets: [newest, ...older], previousExpiresAt }
}
