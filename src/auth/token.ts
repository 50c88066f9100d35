import { type JWTHeaderParameters, type JWTPayload, jwtVerify } from 'jose'
import { AppError } from '../core/error.ts'
import type { Secret } from '../core/secret.ts'
import { CONTEXT_TOKEN_TYPE } from './context-token.ts'
import type { FindPublishedKey } from './jwks.ts'
import { isPermission, type Permission } from './permissions.ts'
import { isUserId, type Principal } from './principal.ts'
import { ASYMMETRIC_ALGORITHMS } from './published-keys.ts'

const MAX_TOKEN_BYTES = 8192
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/
const KID = /^[\x21-\x7e]{1,128}$/
const SKEW_S = 30

/** How long a token may live: one that is stolen is of use for a day at most. */
export const MAX_LIFETIME_S = 86_400

export interface TokenOptions {
  /** Either what the identity provider publishes or the one shared secret, never both. */
  readonly keys: FindPublishedKey | Secret
  readonly issuer: string | undefined
  readonly audience: string | undefined
  /** What `typ` of the header must say, like `at+jwt`; undefined: anything. */
  readonly type: string | undefined
  /** Claim that may grant permissions per org; undefined: none does. */
  readonly orgClaim: string | undefined
  readonly nowMs: () => number
}

export type VerifyToken = (token: string) => Promise<Principal>

type Verify = (token: string, now: Date) => Promise<JWTPayload>

/**
 * Checks a JWT and says who is asking. Nothing is remembered of the token's text: it can be spelled in several ways.
 *
 * @throws AppError `UNAUTHENTICATED` for every token that does not hold, with one text for all; `UNAVAILABLE` when the
 *   identity provider's keys have been out of reach for too long
 */
export function makeVerifyToken(options: TokenOptions): VerifyToken {
  const verify = makeVerify(options)
  return async (token) => {
    if (token.length > MAX_TOKEN_BYTES || !TOKEN.test(token)) throw unauthenticated()
    const now = new Date(options.nowMs())
    const payload = await verify(token, now).catch((error: unknown) => {
      throw error instanceof AppError ? error : unauthenticated(error)
    })
    if (!isTimely(payload, now.getTime() / 1000)) throw unauthenticated()
    return toPrincipal(payload, options.orgClaim)
  }
}

function makeVerify({ keys, issuer, audience, type }: TokenOptions): Verify {
  const checks = {
    requiredClaims: ['sub', 'exp'],
    clockTolerance: SKEW_S,
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
    ...(type === undefined ? {} : { typ: type }),
  }
  if (typeof keys === 'function') {
    const rules = { ...checks, algorithms: ASYMMETRIC_ALGORITHMS }
    const keyOf = async (header: JWTHeaderParameters) => {
      refuseOthers(header)
      const { alg, kid } = header
      if (kid !== undefined && !(typeof kid === 'string' && KID.test(kid))) throw unauthenticated()
      const found = await keys(kid)
      if (found === null || !found.algorithms.includes(alg)) throw unauthenticated()
      return found.key
    }
    return async (token, now) =>
      (await jwtVerify(token, keyOf, { ...rules, currentDate: now })).payload
  }
  const bytes = new TextEncoder().encode(keys.reveal())
  const hmac = { name: 'HMAC', hash: 'SHA-256' }
  // Once: jose would make the key anew for each token.
  const key = lazily(() => crypto.subtle.importKey('raw', bytes, hmac, false, ['verify']))
  const rules = { ...checks, algorithms: ['HS256'] }
  const keyOf = (header: JWTHeaderParameters) => {
    refuseOthers(header)
    return key()
  }
  return async (token, now) =>
    (await jwtVerify(token, keyOf, { ...rules, currentDate: now })).payload
}

function lazily<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | null = null
  return () => {
    made ??= make()
    return made
  }
}

/**
 * `crit` demands what is not done here (RFC 7515 §4.1.11). `jku`, `jwk`, `x5u` and `x5c` are not looked at by anybody. What tells
 * a tool's endpoint for whom it is called is no way in, whoever's keys are trusted.
 */
function refuseOthers(header: JWTHeaderParameters): void {
  if ('crit' in header || 'b64' in header) throw unauthenticated()
  const type = typeof header.typ === 'string' ? header.typ.toLowerCase() : ''
  if (type.replace(/^application\//, '') === CONTEXT_TOKEN_TYPE) throw unauthenticated()
}

/** jose has compared `exp` and `nbf` with the clock; it takes any number for them, an infinite one too. */
function isTimely({ exp, iat, nbf, aud }: JWTPayload, nowS: number): boolean {
  const isAudience = !Array.isArray(aud) || aud.every((item) => typeof item === 'string')
  if (!isAudience || !Number.isSafeInteger(exp) || exp === undefined) return false
  if (!isTime(iat) || !isTime(nbf)) return false
  if (iat === undefined) return exp - nowS <= MAX_LIFETIME_S + SKEW_S
  return iat <= nowS + SKEW_S && exp - iat <= MAX_LIFETIME_S
}

function isTime(claim: number | undefined): boolean {
  return claim === undefined || Math.abs(claim) <= Number.MAX_SAFE_INTEGER
}

function toPrincipal(payload: JWTPayload, orgClaim: string | undefined): Principal {
  const { sub } = payload
  if (!isUserId(sub)) throw unauthenticated()
  return {
    kind: 'user',
    id: sub,
    isSuperadmin: payload.isSuperadmin === true,
    claimed: orgClaim === undefined ? new Map() : claimedPermissions(payload[orgClaim]),
  }
}

/** Only the exact name of a permission in a list grants it; an org that is named with anything else is one without any. */
function claimedPermissions(claim: unknown): Map<string, readonly Permission[]> {
  const claimed = new Map<string, readonly Permission[]>()
  if (typeof claim !== 'object' || claim === null || Array.isArray(claim)) return claimed
  for (const [orgId, granted] of Object.entries(claim)) {
    const named = Array.isArray(granted) ? granted.filter((item) => typeof item === 'string') : []
    claimed.set(orgId, named.filter(isPermission))
  }
  return claimed
}

export function unauthenticated(cause?: unknown): AppError {
  return new AppError('UNAUTHENTICATED', 'A valid bearer token is needed.', { cause })
}
