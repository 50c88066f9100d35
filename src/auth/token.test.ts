import { createServer } from 'node:http'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../core/secret.ts'
import { makeVerifyToken, type TokenOptions } from './token.ts'

const SECRET = 'a shared secret of more than thirty-two bytes'
const NOBODY: Pick<
  TokenOptions,
  'jwksUrl' | 'secret' | 'issuer' | 'audience' | 'orgClaim' | 'fetch'
> = {
  jwksUrl: undefined,
  secret: undefined,
  issuer: undefined,
  audience: undefined,
  orgClaim: undefined,
  fetch,
}

function signHs(claims: JWTPayload, expires: string | number = '1h', secret = SECRET) {
  const jwt = new SignJWT(claims).setProtectedHeader({ alg: 'HS256' })
  return jwt.setExpirationTime(expires).sign(new TextEncoder().encode(secret))
}

const now = () => Math.floor(Date.now() / 1000)

describe('a token signed by the shared secret', () => {
  const verify = makeVerifyToken({ ...NOBODY, secret: new Secret(SECRET) })

  test('says who is asking', async () => {
    const principal = await verify(await signHs({ sub: 'ada', isSuperadmin: true }))
    expect(principal).toMatchObject({ id: 'ada', isSuperadmin: true })
  })

  test('makes no super-admin by a claim that only looks true', async () => {
    const principal = await verify(await signHs({ sub: 'ada', isSuperadmin: 'true' }))
    expect(principal.isSuperadmin).toBe(false)
  })

  test('may be thirty seconds over, and not more', async () => {
    await expect(verify(await signHs({ sub: 'ada' }, now() - 25))).resolves.toMatchObject({
      id: 'ada',
    })
    await expect(verify(await signHs({ sub: 'ada' }, now() - 40))).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    })
  })

  test.each([
    ['another secret', () => signHs({ sub: 'ada' }, '1h', SECRET.toUpperCase())],
    ['no user', () => signHs({})],
    ['an empty user', () => signHs({ sub: '' })],
    ['an end that is no time', () => signHs({ sub: 'ada', exp: 1 }, Number.MAX_VALUE)],
    ['no signature', async () => new UnsecuredJWT({ sub: 'ada', exp: now() + 60 }).encode()],
    [
      'no end',
      async () =>
        new SignJWT({ sub: 'ada' })
          .setProtectedHeader({ alg: 'HS256' })
          .sign(new TextEncoder().encode(SECRET)),
    ],
    ['over 8 KiB', () => signHs({ sub: 'ada', filler: 'x'.repeat(8192) })],
    ['a trailing newline', async () => `${await signHs({ sub: 'ada' })}\n`],
    ['garbage', async () => 'a.b.c'],
  ])('is refused with %s', async (_, make) => {
    await expect(verify(await make())).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  })

  test('must carry the issuer and audience that are configured', async () => {
    const strict = makeVerifyToken({
      ...NOBODY,
      secret: new Secret(SECRET),
      issuer: 'https://idp.test',
      audience: 'patchbay',
    })
    const right = { sub: 'ada', iss: 'https://idp.test', aud: 'patchbay' }
    await expect(strict(await signHs(right))).resolves.toMatchObject({ id: 'ada' })
    await expect(strict(await signHs({ ...right, aud: 'other' }))).rejects.toThrow()
    await expect(strict(await signHs({ ...right, iss: 'https://other.test' }))).rejects.toThrow()
  })

  test('grants permissions in orgs only where the operator lets a claim do so', async () => {
    const token = await signHs({
      sub: 'ada',
      orgs: { acme: ['org:chat', 'org:everything'], other: 'org:chat' },
    })
    const generous = makeVerifyToken({ ...NOBODY, secret: new Secret(SECRET), orgClaim: 'orgs' })
    expect([...(await generous(token)).claimed]).toEqual([['acme', ['org:chat']]])
    expect((await verify(token)).claimed.size).toBe(0)
  })
})

describe('a token checked against a JWKS', () => {
  let stop: () => void
  let jwksUrl: string
  let sign: (claims: JWTPayload) => Promise<string>
  let requests = 0

  beforeAll(async () => {
    const { publicKey, privateKey } = await generateKeyPair('RS256')
    const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256' }
    const server = createServer((_, response) => {
      requests += 1
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ keys: [jwk] }))
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const address = server.address()
    jwksUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/jwks`
    stop = () => server.close()
    sign = (claims) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'RS256', kid: 'one' })
        .setExpirationTime('1h')
        .sign(privateKey)
  })
  afterAll(() => stop())

  test('holds, and the keys are fetched once', async () => {
    const verify = makeVerifyToken({ ...NOBODY, jwksUrl })
    await verify(await sign({ sub: 'ada' }))
    await expect(verify(await sign({ sub: 'bob' }))).resolves.toMatchObject({ id: 'bob' })
    expect(requests).toBe(1)
  })

  test('is refused when it is signed by a shared secret', async () => {
    const verify = makeVerifyToken({ ...NOBODY, jwksUrl })
    await expect(verify(await signHs({ sub: 'ada' }))).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    })
  })

  test('is nobody’s fault while the keys cannot be fetched', async () => {
    const verify = makeVerifyToken({ ...NOBODY, jwksUrl: 'http://127.0.0.1:1/jwks' })
    await expect(verify(await sign({ sub: 'ada' }))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })
})
