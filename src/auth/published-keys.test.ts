import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { expect, test } from 'vitest'
import { findKey, readKeySet } from './published-keys.ts'

type Jwk = Record<string, unknown>

const publish = (key: KeyObject, rest: Jwk): Jwk => ({ ...key.export({ format: 'jwk' }), ...rest })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey
const weakRsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ec384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey
const ed = generateKeyPairSync('ed25519').publicKey

const good = publish(rsa.publicKey, { kid: 'good' })

async function read(...keys: unknown[]) {
  const set = await readKeySet({ keys })
  return {
    known: set?.keys.map(({ kid, algorithms }) => [kid, ...algorithms]),
    problems: set?.problems,
  }
}

test('a kind of key verifies a fixed list of algorithms, and one that names its own that one alone', async () => {
  const { known, problems } = await read(
    good,
    publish(rsa.publicKey, { kid: 'ps', alg: 'PS256' }),
    publish(ec.publicKey, { kid: 'ec' }),
    publish(ec384, { kid: 'ec384', alg: 'ES384' }),
    publish(ed, { kid: 'ed' }),
    publish(ed, { kid: 'ed2', alg: 'EdDSA' }),
  )
  expect(known).toEqual([
    ['good', 'RS256'],
    ['ps', 'PS256'],
    ['ec', 'ES256'],
    ['ec384', 'ES384'],
    ['ed', 'EdDSA', 'Ed25519'],
    ['ed2', 'EdDSA'],
  ])
  expect(problems).toEqual([])
})

test.each<[string, Jwk, RegExp]>([
  ['a shared secret', { kty: 'oct', k: 'c2VjcmV0', kid: 'x', alg: 'HS256' }, /"x" is not public/],
  ['a private RSA key', publish(rsa.privateKey, { kid: 'x' }), /"x" is not public/],
  ['a private EC key', publish(ec.privateKey, { kid: 'x' }), /"x" is not public/],
  ['a weak RSA key', publish(weakRsa, { kid: 'x' }), /"x" has fewer than 2048 bits/],
  ['an unknown kind', { kty: 'OKP', crv: 'X448', x: 'AA', kid: 'x' }, /"x" is of a kind/],
  ['an inherited name as its kind', { kty: 'constructor', kid: 'x' }, /"x" is of a kind/],
  ['an HMAC algorithm', publish(rsa.publicKey, { kid: 'x', alg: 'HS256' }), /"x" names an alg/],
  ['the algorithm of another kind', publish(ec.publicKey, { kid: 'x', alg: 'RS256' }), /names an/],
  ['an algorithm that is no text', publish(rsa.publicKey, { kid: 'x', alg: ['RS256'] }), /names/],
  ['parts that are no text', { kty: 'RSA', n: 1, e: 'AQAB', kid: 'x' }, /"x" cannot be read/],
  ['a point off the curve', publish(ec.publicKey, { kid: 'x', x: 'AA' }), /"x" cannot be read/],
])('%s is left out and named, and the others stay', async (_, member, problem) => {
  const { known, problems } = await read(member, good)
  expect(known).toEqual([['good', 'RS256']])
  expect(problems).toEqual([expect.stringMatching(problem)])
})

test.each<[string, Jwk]>([
  ['other', publish(otherRsa, { kid: 'x' })],
  ['same', publish(rsa.publicKey, { kid: 'x' })],
  ['private', publish(rsa.privateKey, { kid: 'x' })],
])(
  'two keys with one kid verify nothing: the second is another, the same, or private (%s)',
  async (_, twin) => {
    const { known, problems } = await read(publish(rsa.publicKey, { kid: 'x' }), good, twin)
    expect(known).toEqual([['good', 'RS256']])
    expect(problems).toEqual([expect.stringMatching(/"x" shares its kid/)])
  },
)

test('a key for encryption is left out, and may share its kid', async () => {
  const forEncryption = publish(otherRsa, { kid: 'good', use: 'enc' })
  const forWrapping = publish(otherRsa, { kid: 'wrap', key_ops: ['wrapKey'] })
  expect(await read(good, forEncryption, forWrapping)).toEqual({
    known: [['good', 'RS256']],
    problems: [],
  })
})

test.each([null, 'text', [], {}, { keys: {} }, { keys: [null] }, { keys: ['a'] }, { keys: [[]] }])(
  '%j is not a JWKS',
  async (document) => {
    expect(await readKeySet(document)).toBeNull()
  },
)

test('a token without kid is for a set of one key', async () => {
  const one = (await readKeySet({ keys: [good] }))?.keys ?? []
  const two = (await readKeySet({ keys: [good, publish(ec.publicKey, { kid: 'ec' })] }))?.keys ?? []
  expect(findKey(one, undefined)?.kid).toBe('good')
  expect(findKey(two, undefined)).toBeUndefined()
})

test('a kid names a key by its exact text', async () => {
  const keys = (await readKeySet({ keys: [good] }))?.keys ?? []
  expect(findKey(keys, 'good')?.kid).toBe('good')
  for (const kid of ['Good', 'good ', 'constructor', '__proto__', '0', '']) {
    expect(findKey(keys, kid)).toBeUndefined()
  }
})
