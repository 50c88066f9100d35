import { importJWK, type JWK } from 'jose'

/** A key that tokens may be signed by, as the identity provider publishes it. */
export interface PublishedKey {
  readonly kid: string | undefined
  /** What it verifies, and nothing else. */
  readonly algorithms: readonly string[]
  readonly key: CryptoKey
}

export interface KeySet {
  readonly keys: readonly PublishedKey[]
  /** What the provider should repair, in words for the operator. */
  readonly problems: readonly string[]
}

type Member = Readonly<Record<string, unknown>>

/** What a kind of key verifies: the first list where it does not say, else the one it names, if that is in the second. */
interface KeyKind {
  readonly unsaid: readonly string[]
  readonly sayable: readonly string[]
  /** The members of its public half: nothing else of a published key is looked at. */
  readonly parts: readonly string[]
}

const ec = (algorithm: string): KeyKind => ({
  unsaid: [algorithm],
  sayable: [algorithm],
  parts: ['crv', 'x', 'y'],
})

/** Asymmetric only: with published keys an HMAC token would be signed by what everybody has. */
const KINDS: ReadonlyMap<string, KeyKind> = new Map([
  [
    'RSA',
    {
      unsaid: ['RS256'],
      sayable: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
      parts: ['n', 'e'],
    },
  ],
  ['EC P-256', ec('ES256')],
  ['EC P-384', ec('ES384')],
  ['EC P-521', ec('ES512')],
  [
    'OKP Ed25519',
    { unsaid: ['EdDSA', 'Ed25519'], sayable: ['EdDSA', 'Ed25519'], parts: ['crv', 'x'] },
  ],
])

export const ASYMMETRIC_ALGORITHMS = [...KINDS.values()].flatMap(({ sayable }) => sayable)

const SECRET_PARTS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']
const MIN_RSA_BITS = 2048

/**
 * Reads a JWKS (RFC 7517). A member that must not be trusted (secret or private, weak, one of two with the same `kid`) is left
 * out and named as a problem; what is for encryption is left out without a word.
 *
 * @returns null for what is not a JWKS
 */
export async function readKeySet(document: unknown): Promise<KeySet | null> {
  if (!isMember(document) || !Array.isArray(document.keys)) return null
  const members: unknown[] = document.keys
  if (!members.every(isMember)) return null
  const signing = members.filter(isForSignatures)
  const keys: PublishedKey[] = []
  const problems: string[] = []
  for (const member of signing) {
    const read = isAmbiguous(member, signing)
      ? 'shares its kid with another'
      : await readKey(member)
    if (typeof read === 'string') problems.push(`key ${nameOf(member)} ${read}`)
    else keys.push(read)
  }
  return { keys, problems: [...new Set(problems)] }
}

/** The one key that may verify a token with this header. Without a `kid` only a set of one key answers. */
export function findKey(
  keys: readonly PublishedKey[],
  kid: string | undefined,
): PublishedKey | undefined {
  if (kid === undefined) return keys.length === 1 ? keys[0] : undefined
  return keys.find((key) => key.kid === kid)
}

async function readKey(member: Member): Promise<PublishedKey | string> {
  if (SECRET_PARTS.some((part) => member[part] !== undefined)) return 'is not public'
  const kind = KINDS.get([member.kty, member.crv].filter((part) => part !== undefined).join(' '))
  if (kind === undefined) return 'is of a kind that verifies no token here'
  const algorithms =
    member.alg === undefined ? kind.unsaid : kind.sayable.filter((name) => name === member.alg)
  const [algorithm] = algorithms
  if (algorithm === undefined) return 'names an algorithm that is not accepted'
  const key = await importPublic(member, kind.parts, algorithm)
  if (key === null) return 'cannot be read'
  const isWeak =
    'modulusLength' in key.algorithm && Number(key.algorithm.modulusLength) < MIN_RSA_BITS
  if (isWeak) return `has fewer than ${MIN_RSA_BITS} bits`
  return { kid: typeof member.kid === 'string' ? member.kid : undefined, algorithms, key }
}

async function importPublic(
  member: Member,
  parts: readonly string[],
  algorithm: string,
): Promise<CryptoKey | null> {
  const values = ['kty', ...parts].map((part) => [part, member[part]])
  if (!values.every(([, value]) => typeof value === 'string')) return null
  try {
    // Every member is a string, and which ones there are is for the import to judge.
    const key = await importJWK(Object.fromEntries(values) as JWK, algorithm)
    return key instanceof CryptoKey && key.type === 'public' ? key : null
  } catch {
    return null
  }
}

function isMember(value: unknown): value is Member {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isForSignatures({ use, key_ops: operations }: Member): boolean {
  const isUse = use === undefined || use === 'sig'
  return isUse && (!Array.isArray(operations) || operations.includes('verify'))
}

function isAmbiguous({ kid }: Member, all: readonly Member[]): boolean {
  return kid !== undefined && all.filter((other) => other.kid === kid).length > 1
}

function nameOf({ kid }: Member): string {
  return typeof kid === 'string' ? JSON.stringify(kid.slice(0, 64)) : 'without kid'
}
