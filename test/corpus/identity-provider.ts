import {
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign as signBytes,
} from 'node:crypto'
import { type Answer, openReceiver, type Receiver } from '../fixtures/receiver.ts'

/** A case of `jwt.json`: a token, how it is sent, and what is expected. */
export interface TokenCase {
  readonly name: string
  readonly kind?: string
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
  readonly key: string
  readonly raw_header?: string
  readonly raw_payload?: string
  readonly token_transform?: string
  readonly auth_header?: string
  readonly no_egress?: boolean
  readonly request?: { readonly headers?: Record<string, string>; readonly body?: object }
  readonly jwks?: {
    readonly fetch: string
    readonly requests?: number
    readonly max_fetches?: number
  }
  readonly expect: 'accept' | 'reject'
  readonly status: number
  readonly also_ok?: readonly string[]
  readonly also_ok_status?: readonly number[]
}

export const ISSUER = 'https://idp.example.com/'
export const AUDIENCE = 'plugins-api'

const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 })
const KEYS = {
  'rsa-1': rsa(),
  'rsa-2': rsa(),
  'ec-1': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'ed-1': generateKeyPairSync('ed25519'),
}
const attacker = rsa()

const published = Object.entries(KEYS).map(([kid, { publicKey }]) => ({
  ...publicKey.export({ format: 'jwk' }),
  kid,
}))

/** What the provider answers for its keys, by the name a case gives it. */
const ANSWERS: Readonly<Record<string, Answer>> = {
  good: (response) => response.end(JSON.stringify({ keys: published })),
  html: (response) => response.end('<!doctype html><title>Sign in</title>'),
  hang: () => undefined,
  '302 http://169.254.169.254/': (response) =>
    response.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
  'duplicate-kid': (response) =>
    response.end(
      JSON.stringify({
        keys: [...published, { ...attacker.publicKey.export({ format: 'jwk' }), kid: 'rsa-1' }],
      }),
    ),
  'private-key': (response) =>
    response.end(
      JSON.stringify({
        keys: [{ ...KEYS['rsa-1'].privateKey.export({ format: 'jwk' }), kid: 'rsa-1' }],
      }),
    ),
}

export function openIdentityProvider(answer: string): Promise<Receiver> {
  const known = ANSWERS[answer]
  if (known === undefined) throw new Error(`no provider answers ${answer}`)
  return openReceiver(known)
}

/** The value of the `Authorization` header of a case. */
export function authorizationOf(given: TokenCase, nowS: number): string {
  const token = transform(tokenOf(given, nowS), given.token_transform)
  return (given.auth_header ?? 'Bearer $token').replaceAll('$token', token)
}

/** The same, with a kid that nobody has. What it is signed by does not matter: nobody gets to that. */
export function makeStrayTokens(given: TokenCase, nowS: number): () => string {
  const [, claims, signature] = tokenOf(given, nowS).split('.')
  return () => {
    const header = Buffer.from(JSON.stringify({ ...given.header, kid: randomUUID() }))
    return `Bearer ${header.toString('base64url')}.${claims}.${signature}`
  }
}

function tokenOf(given: TokenCase, nowS: number): string {
  const isEmbedded = given.key === 'attacker-embed-jwk'
  const jwk = isEmbedded ? { jwk: attacker.publicKey.export({ format: 'jwk' }) } : {}
  const header = given.raw_header ?? JSON.stringify({ ...given.header, ...jwk })
  const claims =
    given.raw_payload === undefined
      ? claimsOf(given.claims, nowS)
      : withOrgs(given.raw_payload, given.claims).replaceAll('$now', String(nowS))
  const signed = [header, claims].map((text) => Buffer.from(text).toString('base64url')).join('.')
  return `${signed}.${signatureOf(given, signed).toString('base64url')}`
}

function claimsOf(claims: TokenCase['claims'], nowS: number): string {
  const resolved = Object.entries(claims).map(([name, value]) => [name, resolve(value, nowS)])
  const text = JSON.stringify({ ...Object.fromEntries(resolved), orgs: orgsOf(claims) })
  const nested = /"\$nest(\d+)"/.exec(text)
  const depth = Number(nested?.[1] ?? 0)
  return nested === null ? text : text.replace(nested[0], '['.repeat(depth) + ']'.repeat(depth))
}

function resolve(value: unknown, nowS: number): unknown {
  if (typeof value !== 'string') return value
  const time = /^\$now([+-]\d+)?$/.exec(value)
  if (time !== null) return nowS + Number(time[1] ?? 0)
  const padding = /^\$pad(\d+)$/.exec(value)
  return padding === null ? value : 'x'.repeat(Number(padding[1]))
}

/** The cases give one org and a list of permissions; here a claim gives a list for each org. */
function orgsOf({ org_id, permissions }: TokenCase['claims']): Record<string, unknown> {
  return { [String(org_id)]: permissions ?? null }
}

function withOrgs(rawClaims: string, claims: TokenCase['claims']): string {
  return rawClaims.replace(/\}$/, `,"orgs":${JSON.stringify(orgsOf(claims))}}`)
}

function signatureOf(given: TokenCase, signed: string): Buffer {
  const bytes = Buffer.from(signed)
  const [how = '', what = ''] = given.key.split(':')
  if (how === 'none') return Buffer.alloc(0)
  if (how === 'hmac' || how === 'hmac512') {
    const pem = KEYS['rsa-1'].publicKey.export({ format: 'pem', type: 'spki' }).toString()
    const key = what.endsWith('-trim') ? pem.trim() : pem
    return createHmac(how === 'hmac' ? 'sha256' : 'sha512', key)
      .update(bytes)
      .digest()
  }
  const key = how.startsWith('attacker') ? attacker.privateKey : privateKeyOf(how)
  if (key.asymmetricKeyType === 'ed25519') return signBytes(null, bytes, key)
  const digest = given.header.alg === 'RS512' ? 'sha512' : 'sha256'
  return signBytes(digest, bytes, {
    key,
    dsaEncoding: how.endsWith('-der') ? 'der' : 'ieee-p1363',
  })
}

function privateKeyOf(name: string): KeyObject {
  const found = Object.entries(KEYS).find(([kid]) => kid === name.replace(/-(raw|der)$/, ''))
  if (found === undefined) throw new Error(`no key is called ${name}`)
  return found[1].privateKey
}

function transform(token: string, how: string | undefined): string {
  const [name = '', value = ''] = (how ?? '').split(/:(.*)/s)
  switch (name) {
    case '':
      return token
    case 'append':
      return token + value
    case 'replace':
      return value
    case 'drop-signature-dot':
      return token.slice(0, token.lastIndexOf('.'))
    case 'pct-dots':
      return token.replaceAll('.', '%2E')
    case 'std-b64':
      return asStandardBase64(token)
    default:
      throw new Error(`no transformation is called ${how}`)
  }
}

/** Spelled with + and /, at one place at least. */
function asStandardBase64(token: string): string {
  const spelled = token.replaceAll('-', '+').replaceAll('_', '/')
  return spelled === token ? `${token.slice(0, -1)}+` : spelled
}
