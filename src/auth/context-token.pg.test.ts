import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { openTestDatabase } from '../../test/fixtures/database.ts'
import { openTestKeyring } from '../../test/fixtures/keyring.ts'
import { makeContextTokens } from './context-token.ts'

const database = await openTestDatabase()
afterAll(() => database[Symbol.asyncDispose]())

const keyring = await openTestKeyring(database.pool)
const open = () =>
  makeContextTokens({ db: database.pool, keyring, issuer: 'https://p.example', nowMs: Date.now })

const CONTEXT = {
  orgId: 'acme',
  userId: 'ann',
  conversationId: 'c1',
  tool: 'jira.createIssue',
  runId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c03',
  audience: 'https://tools.example',
}

beforeEach(async () => {
  await database.pool.query('delete from patchbay.context_keys')
})

test('a token says for whom a tool is called, to the origin that is called, for five minutes', async () => {
  const tokens = open()
  const token = await tokens.sign(CONTEXT)
  const keys = createLocalJWKSet(await tokens.published())
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    issuer: 'https://p.example',
    audience: 'https://tools.example',
    typ: 'patchbay-context+jwt',
  })
  expect(protectedHeader.alg).toBe('EdDSA')
  expect(payload).toMatchObject({
    sub: 'ann',
    org: 'acme',
    conversation: 'c1',
    tool: 'jira.createIssue',
    run: CONTEXT.runId,
    jti: CONTEXT.runId,
  })
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(300)
})

test('what is published has no private member', async () => {
  const { keys } = await open().published()
  expect(keys).toEqual([
    {
      kty: 'OKP',
      crv: 'Ed25519',
      x: expect.any(String),
      kid: expect.any(String),
      use: 'sig',
      alg: 'EdDSA',
    },
  ])
})

test('processes sign with the same key, and what both may have made at once is all published', async () => {
  const tokens = await Promise.all([open().sign(CONTEXT), open().sign(CONTEXT)])
  const keys = createLocalJWKSet(await open().published())
  for (const token of tokens) await jwtVerify(token, keys)
  const [later, latest] = await Promise.all([open().sign(CONTEXT), open().sign(CONTEXT)])
  expect(decodeProtectedHeader(later).kid).toBe(decodeProtectedHeader(latest).kid)
})

test('a key that does not open any more is retired, published for an hour, and followed by another', async () => {
  const before = await open().sign(CONTEXT)
  await database.pool.query(
    `update patchbay.context_keys set private_jwk = set_byte(private_jwk, 40, get_byte(private_jwk, 40) # 1)`,
  )
  const tokens = open()
  const after = await tokens.sign(CONTEXT)
  expect(decodeProtectedHeader(after).kid).not.toBe(decodeProtectedHeader(before).kid)
  const keys = createLocalJWKSet(await tokens.published())
  await jwtVerify(before, keys)
  await jwtVerify(after, keys)
  await database.pool.query(
    `update patchbay.context_keys set retired_at = now() - interval '61 minutes' where retired_at is not null`,
  )
  expect((await tokens.published()).keys).toHaveLength(1)
})
