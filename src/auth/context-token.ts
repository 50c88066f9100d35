import { randomBytes } from 'node:crypto'
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose'
import type { Queryable } from '../db/pool.ts'
import type { Keyring } from '../security/keyring.ts'
import { KeyringError } from '../security/keyring-error.ts'

const ALGORITHM = 'EdDSA'
/** `typ` of its header: by this nobody takes it for a token of another kind. [RFC 8725 §3.11] */
export const CONTEXT_TOKEN_TYPE = 'patchbay-context+jwt'
const LIFETIME_S = 300
/** How long a process goes on with the key that it knows. */
const KEPT_MS = 60_000
/** How long after its retirement a key is still published: longer than processes keep it and its tokens live. */
const PUBLISHED_S = 3600

/** For whom a tool is called. */
export interface CallContext {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string | null
  readonly tool: string
  readonly runId: string
  /** The origin that is called: the token is of no use anywhere else. */
  readonly audience: string
}

interface ContextTokensDeps {
  /** Sees the installation's own tables. */
  readonly db: Queryable
  readonly keyring: Pick<Keyring, 'seal' | 'open'>
  readonly issuer: string
  readonly nowMs: () => number
}

interface SigningKey {
  readonly id: string
  readonly key: CryptoKey
}

const NEWEST = `
select k.id, k.private_jwk as "privateJwk"
from patchbay.context_keys as k
where k.retired_at is null
order by k.created_at desc, k.id
limit 1`

/** Where several processes find none, each makes one: the newest signs, all are published. */
const ADD = `insert into patchbay.context_keys (id, public_jwk, private_jwk) values ($1, $2, $3)`

const RETIRE = `update patchbay.context_keys set retired_at = now() where id = $1 and retired_at is null`

const PUBLISHED = `
select k.public_jwk as jwk
from patchbay.context_keys as k
where k.retired_at is null or k.retired_at > now() - make_interval(secs => ${PUBLISHED_S})
order by k.created_at desc, k.id`

/**
 * Tokens that say to a tool's endpoint for whom it is called, so that it can authorise by the user: JWTs (RFC 7519) of five
 * minutes, signed with Ed25519 by a key of the installation, verifiable with what `published` gives (RFC 7517).
 *
 * A key that no longer opens, as after its data key was replaced, is retired and followed by a new one.
 */
export function makeContextTokens({ db, keyring, issuer, nowMs }: ContextTokensDeps) {
  let kept: { readonly key: Promise<SigningKey>; readonly endsAtMs: number } | null = null

  async function readKey(): Promise<SigningKey | { readonly brokenId: string } | null> {
    const { rows } = await db.query<{ id: string; privateJwk: Buffer }>({ text: NEWEST })
    const [row] = rows
    if (row === undefined) return null
    try {
      const jwk: JWK = JSON.parse(await keyring.open(contextOf(row.id), row.privateJwk))
      return { id: row.id, key: await toKey(jwk) }
    } catch (error) {
      if (error instanceof KeyringError) return { brokenId: row.id }
      throw error
    }
  }

  async function makeKey(): Promise<void> {
    const id = randomBytes(12).toString('base64url')
    const { publicKey, privateKey } = await generateKeyPair('Ed25519', { extractable: true })
    const sealed = await keyring.seal(contextOf(id), JSON.stringify(await exportJWK(privateKey)))
    const jwk = { ...(await exportJWK(publicKey)), kid: id, use: 'sig', alg: ALGORITHM }
    await db.query({ text: ADD, values: [id, JSON.stringify(jwk), sealed] })
  }

  async function loadKey(): Promise<SigningKey> {
    const found = await readKey()
    if (found !== null && 'key' in found) return found
    const brokenId = found?.brokenId ?? ''
    await makeKey()
    await db.query({ text: RETIRE, values: [brokenId] })
    const made = await readKey()
    if (made !== null && 'key' in made) return made
    throw new KeyringError('the key of context tokens was made and does not open')
  }

  function currentKey(): Promise<SigningKey> {
    if (kept !== null && kept.endsAtMs > nowMs()) return kept.key
    const key = loadKey()
    kept = { key, endsAtMs: nowMs() + KEPT_MS }
    key.catch(() => {
      if (kept?.key === key) kept = null
    })
    return key
  }

  return {
    sign: async (context: CallContext): Promise<string> => {
      const { id, key } = await currentKey()
      const issuedAt = Math.floor(nowMs() / 1000)
      const { orgId, userId, conversationId, tool, runId, audience } = context
      const claims = { org: orgId, conversation: conversationId, tool, run: runId }
      return new SignJWT(claims)
        .setProtectedHeader({ alg: ALGORITHM, typ: CONTEXT_TOKEN_TYPE, kid: id })
        .setIssuer(issuer)
        .setSubject(userId)
        .setAudience(audience)
        .setJti(runId)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + LIFETIME_S)
        .sign(key)
    },

    /** The public keys, as a JWK Set; makes the first one. */
    published: async (): Promise<{ keys: JWK[] }> => {
      await currentKey()
      const { rows } = await db.query<{ jwk: JWK }>({ text: PUBLISHED })
      return { keys: rows.map(({ jwk }) => jwk) }
    },
  }
}

function contextOf(id: string) {
  return { orgId: '', table: 'context_keys', column: 'private_jwk', rowId: id }
}

async function toKey(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, ALGORITHM)
  if (key instanceof Uint8Array) throw new KeyringError('not an asymmetric key')
  return key
}
