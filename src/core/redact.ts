/** A shorter value is no secret, and taking it out would make a text unreadable. */
const MIN_SECRET_LENGTH = 4
const MAX_DEPTH = 64
const MARK = '[secret]'

export interface Redact {
  readonly text: (text: string) => string
  /** A text that was cut: a secret of which only the beginning is left goes too. */
  readonly cutText: (text: string) => string
  /** Every text, member name and number of a JSON value. What is nested too deep to keep is named as cut. */
  readonly json: (value: unknown) => unknown
}

/**
 * Takes credentials out of what an endpoint sent: one that echoes its request must not hand them to a model, a log or a
 * history. Knows a secret as it is, URL-encoded, and as it stands inside JSON text.
 */
export function makeRedact(secrets: readonly string[]): Redact {
  let made: readonly string[] | null = null
  // Made when a text comes that could have a secret in it: a worker keeps this for many thousand subscriptions.
  const known = () => (made ??= formsOf(secrets))

  const text = (given: string) =>
    given.length < MIN_SECRET_LENGTH
      ? given
      : known().reduce((rest, secret) => rest.replaceAll(secret, MARK), given)

  const json = (value: unknown, depth: number): unknown => {
    if (typeof value === 'string') return text(value)
    if (typeof value === 'number') return text(String(value)) === String(value) ? value : MARK
    if (typeof value !== 'object' || value === null) return value
    if (depth === 0) return `[cut: nested deeper than ${MAX_DEPTH} levels]`
    if (Array.isArray(value)) return value.map((entry) => json(entry, depth - 1))
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [text(key), json(entry, depth - 1)]),
    )
  }

  return {
    text,
    cutText: (given) => {
      const clean = text(given)
      const left = Math.max(0, ...known().map((secret) => overlap(clean, secret)))
      return left === 0 ? clean : clean.slice(0, -left) + MARK
    },
    json: (value) => json(value, MAX_DEPTH),
  }
}

/** Each secret as it may stand in a text. Longest first: where one begins with another, nothing of the longer may stay. */
function formsOf(secrets: readonly string[]): string[] {
  const forms = secrets
    .filter((secret) => secret.length >= MIN_SECRET_LENGTH)
    .flatMap((secret) => [
      secret,
      encodeURIComponent(secret.toWellFormed()),
      encodeURIComponent(secret.toWellFormed()).replace(/%[0-9A-F]{2}/g, (hex) =>
        hex.toLowerCase(),
      ),
      JSON.stringify(secret).slice(1, -1),
      // As PHP and Go write JSON.
      JSON.stringify(secret).slice(1, -1).replaceAll('/', '\\/'),
      JSON.stringify(secret)
        .slice(1, -1)
        .replace(/[<>&]/g, (sign) => `\\u00${sign.charCodeAt(0).toString(16)}`),
    ])
  return [...new Set(forms)].sort((a, b) => b.length - a.length)
}

/** How many characters at the end of a text are the beginning of a secret. */
function overlap(text: string, secret: string): number {
  for (let length = secret.length - 1; length >= MIN_SECRET_LENGTH; length -= 1) {
    if (text.endsWith(secret.slice(0, length))) return length
  }
  return 0
}

/** For the audit log, which is kept for good: what follows the question mark may be a token. */
export function withoutQuery(url: string): string {
  return url.replace(/\?.*$/s, '?…')
}
