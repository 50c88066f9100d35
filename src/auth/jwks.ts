import { AppError } from '../core/error.ts'
import type { Log } from '../telemetry/log.ts'
import { findKey, type KeySet, type PublishedKey, readKeySet } from './published-keys.ts'

/** The published key for a `kid`, or null where the provider has none. */
export type FindPublishedKey = (kid: string | undefined) => Promise<PublishedKey | null>

interface JwksDeps {
  readonly url: string
  readonly fetch: typeof fetch
  /** Monotonic. */
  readonly nowMs: () => number
  readonly log: Pick<Log, 'info' | 'warn'>
  readonly timeoutMs?: number
}

const FRESH_MS = 600_000
/** How long the last good set serves while the provider cannot be reached. */
const KEPT_MS = 86_400_000
/** Between two fetches that unknown kids ask for. */
const COOLDOWN_MS = 30_000
const MIN_BACKOFF_MS = 10_000
const MAX_BACKOFF_MS = 300_000
const TIMEOUT_MS = 5000
const MAX_BYTES = 65_536

/**
 * The identity provider's keys, fetched when they are needed and kept. One fetch at a time.
 *
 *   none ── fetched ─▶ fresh ── ten minutes ─▶ due ── fetched ─▶ fresh
 *                        ▲                      └── failed ─▶ kept ── 24 h ─▶ gone
 *                        └──────────── fetched ─────────────────┴──────────────┘
 *
 * Requests wait for a fetch that is due; while fetches fail they are served from what is kept, and the next try is made behind
 * them after ten seconds, then twice as long, five minutes at most. An unknown kid asks for a fetch, every thirty seconds at
 * most. A set that is fetched takes the place of the one before, whatever it has lost.
 *
 * @throws (the function it makes) AppError `UNAVAILABLE` when a set that was good has been out of reach for too long; another
 *   error where there never was one: that is a wrong setting as likely as an outage, and nobody gets in
 */
export function makeJwks({
  url,
  fetch: request,
  nowMs,
  log,
  timeoutMs,
}: JwksDeps): FindPublishedKey {
  let set: KeySet | null = null
  let fetchedAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let failures = 0
  let complaint = ''
  let pending: Promise<void> | null = null

  /** Never rejects. */
  function refresh(): Promise<void> {
    triedAt = nowMs()
    pending ??= load().finally(() => {
      pending = null
    })
    return pending
  }

  async function load(): Promise<void> {
    const fetched = await fetchKeySet(url, request, timeoutMs ?? TIMEOUT_MS)
    if (typeof fetched === 'string') {
      failures += 1
      complain(fetched)
      return
    }
    set = fetched
    fetchedAt = nowMs()
    if (failures > 0) log.info({ keys: fetched.keys.length }, 'jwks.recovered')
    failures = 0
    complain(fetched.problems.join('; '))
  }

  /** Once for each thing that is wrong, not once for each request that meets it. */
  function complain(reason: string): void {
    if (reason !== '' && reason !== complaint) log.warn({ reason }, 'jwks.refused')
    complaint = reason
  }

  function mayTry(): boolean {
    if (failures === 0) return true
    const backoffMs = Math.min(MIN_BACKOFF_MS * 2 ** (failures - 1), MAX_BACKOFF_MS)
    return nowMs() - triedAt >= backoffMs
  }

  return async (kid) => {
    const ageMs = nowMs() - fetchedAt
    if (ageMs >= FRESH_MS && (pending !== null || mayTry())) {
      const isServed = failures > 0 && ageMs < KEPT_MS
      const refreshed = refresh()
      if (!isServed) await refreshed
    }
    const known = findKey(usable().keys, kid)
    if (known !== undefined || kid === undefined) return known ?? null
    const mayAsk = mayTry() && nowMs() - triedAt >= COOLDOWN_MS
    if (pending === null && !mayAsk) return null
    await (pending ?? refresh())
    return findKey(usable().keys, kid) ?? null
  }

  function usable(): KeySet {
    if (set === null) throw new Error('there are no keys to check a token with')
    if (nowMs() - fetchedAt < KEPT_MS) return set
    throw new AppError('UNAVAILABLE', 'The identity provider cannot be reached.')
  }
}

/** The set, or what is wrong with it. */
async function fetchKeySet(
  url: string,
  request: typeof fetch,
  timeoutMs: number,
): Promise<KeySet | string> {
  try {
    const response = await request(url, {
      headers: { accept: 'application/jwk-set+json, application/json' },
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
    if (response.status !== 200) {
      await response.body?.cancel()
      return `the JWKS answered ${response.status} (redirects are not followed)`
    }
    const text = await readText(response)
    if (text === null) return `the JWKS is over ${MAX_BYTES} bytes`
    return (await readKeySet(parsed(text))) ?? 'the JWKS is not a JSON Web Key Set'
  } catch (error) {
    return `the JWKS cannot be fetched: ${reasonOf(error)}`
  }
}

/** Counts what is read after decompression; null: it is too much. */
async function readText(response: Response): Promise<string | null> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > MAX_BYTES) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function reasonOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at.name === 'TimeoutError') return 'no answer within the time limit'
    if ('code' in at && typeof at.code === 'string') return at.code
  }
  return error instanceof Error ? error.message : String(error)
}
