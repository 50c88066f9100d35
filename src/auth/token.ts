import { createRemoteJWKSet, customFetch, type JWTPayload, jwtVerify } from 'jose'
import { AppError } from '../core/error.ts'
import type { Secret } from '../core/secret.ts'
import { isPermission, type Permission } from './permissions.ts'
import type { Principal } from './principal.ts'

const MAX_TOKEN_BYTES = 8192
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/
const CLOCK_TOLERANCE_S = 30
const MAX_USER_ID_LENGTH = 256

/** Asymmetric only: with published keys an HMAC token would be signed by a key that everybody has. */
const JWKS_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
]

export interface TokenOptions {
  readonly jwksUrl: string | undefined
  readonly secret: Secret | undefined
  readonly issuer: string | undefined
  readonly audience: string | undefined
  /** Claim that may grant permissions per org; undefined: none does. */
  readonly orgClaim: string | undefined
  /** For the JWKS. */
  readonly fetch: typeof fetch
}

export type VerifyToken = (token: string) => Promise<Principal>

/**
 * Checks a JWT and says who is asking.
 *
 * @throws AppError `UNAUTHENTICATED` for every token that does not hold, with one text for all; `UNAVAILABLE` when the
 *   identity provider's keys cannot be fetched
 */
export function makeVerifyToken(options: TokenOptions): VerifyToken {
  const verify = makeVerify(options)
  return async (token) => {
    if (token.length > MAX_TOKEN_BYTES || !TOKEN.test(token)) throw unauthenticated()
    const payload = await verify(token).catch((error: unknown) => {
      throw error instanceof AppError ? error : unauthenticated(error)
    })
    return toPrincipal(payload, options.orgClaim)
  }
}

function makeVerify(options: TokenOptions): (token: string) => Promise<JWTPayload> {
  const checks = {
    requiredClaims: ['sub', 'exp'],
    clockTolerance: CLOCK_TOLERANCE_S,
    ...(options.issuer === undefined ? {} : { issuer: options.issuer }),
    ...(options.audience === undefined ? {} : { audience: options.audience }),
  }
  if (options.jwksUrl !== undefined) {
    const keys = createRemoteJWKSet(new URL(options.jwksUrl), {
      [customFetch]: orUnavailable(options.fetch),
    })
    const rules = { ...checks, algorithms: JWKS_ALGORITHMS }
    return async (token) => (await jwtVerify(token, keys, rules)).payload
  }
  if (options.secret === undefined) throw new Error('neither a JWKS nor a secret is configured')
  const key = new TextEncoder().encode(options.secret.reveal())
  const rules = { ...checks, algorithms: ['HS256'] }
  return async (token) => (await jwtVerify(token, key, rules)).payload
}

function toPrincipal(payload: JWTPayload, orgClaim: string | undefined): Principal {
  const { sub, exp } = payload
  const isUser = typeof sub === 'string' && sub.length >= 1 && sub.length <= MAX_USER_ID_LENGTH
  if (!isUser || !Number.isSafeInteger(exp)) throw unauthenticated()
  return {
    id: sub,
    isSuperadmin: payload.isSuperadmin === true,
    claimed: orgClaim === undefined ? new Map() : claimedPermissions(payload[orgClaim]),
  }
}

function claimedPermissions(claim: unknown): Map<string, readonly Permission[]> {
  const claimed = new Map<string, readonly Permission[]>()
  if (typeof claim !== 'object' || claim === null) return claimed
  for (const [orgId, granted] of Object.entries(claim)) {
    if (Array.isArray(granted)) {
      claimed.set(orgId, granted.filter((item) => typeof item === 'string').filter(isPermission))
    }
  }
  return claimed
}

/** A failure to get the keys is nobody's bad token. */
function orUnavailable(fetchKeys: typeof fetch): typeof fetch {
  const unavailable = (cause?: unknown) =>
    new AppError('UNAVAILABLE', 'The identity provider cannot be reached.', { cause })
  return async (...request) => {
    const response = await fetchKeys(...request).catch((error: unknown) => {
      throw unavailable(error)
    })
    if (!response.ok) throw unavailable()
    return response
  }
}

export function unauthenticated(cause?: unknown): AppError {
  return new AppError('UNAUTHENTICATED', 'A valid bearer token is needed.', { cause })
}
