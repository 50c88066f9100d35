import { createHmac, generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Secret } from '../core/secret.ts'
import { makeJwks } from './jwks.ts'
import { makeVerifyToken, type TokenOptions, type VerifyToken } from './token.ts'

const NOW_S = 1_800_000_000
const DAY_S = 86_400
const SECRET = new Secret('a shared secret of more than thirty-two bytes')
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })

type Json = Readonly<Record<string, unknown>>

const part = (json: unknown) => Buffer.from(JSON.stringify(json)).toString('base64url')
const live = { sub: 'ada', exp: NOW_S + 300 }

/** By the shared secret, whatever the header says. */
function bySecret(claims: unknown, header: Json = { alg: 'HS256' }, secret = SECRET.reveal()) {
  const signed = `${part(header)}.${part(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

/** By a private key, whatever the header says. */
function byKey(claims: unknown, header: Json, key: KeyObject = rsa.privateKey) {
  const signed = `${part(header)}.${part(claims)}`
  const signature = signBytes('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' })
  return `${signed}.${signature.toString('base64url')}`
}

function makeVerify(options: Partial<TokenOptions> = {}): VerifyToken {
  return makeVerifyToken({
    keys: SECRET,
    issuer: undefined,
    audience: undefined,
    type: undefined,
    orgClaim: undefined,
    nowMs: () => NOW_S * 1000,
    ...options,
  })
}

/** Against published keys, with a list of every URL that was asked. */
function openVerify(keys: readonly Json[], options: Partial<TokenOptions> = {}) {
  const asked: string[] = []
  const find = makeJwks({
    url: 'https://idp.example.com/jwks',
    fetch: (url) => {
      asked.push(String(url))
      return Promise.resolve(Response.json({ keys }))
    },
    nowMs: () => 0,
    log: { warn: () => undefined, info: () => undefined },
  })
  return { asked, verify: makeVerify({ keys: find, ...options }) }
}

const publish = (key: KeyObject, kid?: string) => ({ ...key.export({ format: 'jwk' }), kid })
const KEYS = [publish(rsa.publicKey, 'rsa'), publish(ec.publicKey, 'ec')]

async function isRefused(verify: VerifyToken, token: string): Promise<void> {
  await expect(verify(token)).rejects.toMatchObject({
    code: 'UNAUTHENTICATED',
    message: 'A valid bearer token is needed.',
  })
}

describe('a token signed by the shared secret', () => {
  const verify = makeVerify()

  test('says who is asking', async () => {
    expect(await verify(bySecret({ ...live, isSuperadmin: true }))).toEqual({
      kind: 'user',
      id: 'ada',
      isSuperadmin: true,
      claimed: new Map(),
    })
  })

  test.each(['true', 1, {}, null])('makes no super-admin by %j', async (isSuperadmin) => {
    expect((await verify(bySecret({ ...live, isSuperadmin }))).isSuperadmin).toBe(false)
  })

  test.each<[string, string]>([
    ['another secret', bySecret(live, { alg: 'HS256' }, 'A shared secret of thirty-two bytes')],
    ['an empty secret', bySecret(live, { alg: 'HS256' }, '')],
    ['another algorithm', bySecret(live, { alg: 'HS512' })],
    ['an algorithm in lower case', bySecret(live, { alg: 'hs256' })],
    ['a list of algorithms', bySecret(live, { alg: ['HS256'] })],
    ['no algorithm', bySecret(live, { alg: 'none' })],
    ['no signature', `${part({ alg: 'none' })}.${part(live)}.`],
    ['crit', bySecret(live, { alg: 'HS256', crit: ['b64'], b64: true })],
    ['a list of claims', bySecret([live])],
    ['no claims', bySecret(null)],
    ['over 8 KiB', bySecret({ ...live, filler: 'x'.repeat(8192) })],
    ['garbage', 'a.b.c'],
  ])('is refused with %s', (_, token) => isRefused(verify, token))

  test.each(['patchbay-context+jwt', 'application/Patchbay-Context+JWT'])(
    'is not one that tells a tool for whom it is called (%s)',
    async (typ) => {
      await isRefused(verify, bySecret(live, { alg: 'HS256', typ }))
      const { verify: byKeys } = openVerify(KEYS)
      await isRefused(byKeys, byKey(live, { alg: 'RS256', kid: 'rsa', typ }))
      expect(await byKeys(byKey(live, { alg: 'RS256', kid: 'rsa', typ: 'JWT' }))).toBeTruthy()
    },
  )

  test.each([undefined, null, '', 1, ['ada'], 'x'.repeat(257), 'a\0b', 'a\ud800', 'key:0190'])(
    'names a user by a text that can be stored, and not by %j',
    async (sub) => {
      await isRefused(verify, bySecret({ ...live, sub }))
    },
  )

  test('is of any spelling only what base64url allows', async () => {
    const token = bySecret(live)
    for (const wrong of [
      `${token}\n`,
      ` ${token}`,
      `${token}==`,
      token.replaceAll('.', '%2E'),
      `${token}.`,
      `.${token}`,
      token.slice(0, token.lastIndexOf('.')),
      `${part({ alg: 'HS256' })}=.${token.slice(token.indexOf('.') + 1)}`,
    ]) {
      await isRefused(verify, wrong)
    }
  })

  test('may be spelled in a second way, and says the same', async () => {
    const token = bySecret(live)
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const last = alphabet.indexOf(token.at(-1) ?? '')
    const respelled = token.slice(0, -1) + alphabet.charAt(last ^ 1)
    expect(respelled).not.toBe(token)
    expect(await verify(respelled)).toEqual(await verify(token))
  })
})

describe('the times of a token', () => {
  const verify = makeVerify()
  const holds = (times: Json) => verify(bySecret({ sub: 'ada', ...times }))
  const soon = NOW_S + 300

  test('it may be over for thirty seconds, exclusive', async () => {
    await expect(holds({ exp: NOW_S - 29 })).resolves.toMatchObject({ id: 'ada' })
    await isRefused(verify, bySecret({ sub: 'ada', exp: NOW_S - 30 }))
    await isRefused(verify, bySecret({ sub: 'ada', exp: NOW_S - 31 }))
  })

  test('it may begin in thirty seconds', async () => {
    for (const claim of ['nbf', 'iat']) {
      await expect(holds({ exp: soon, [claim]: NOW_S + 30 })).resolves.toMatchObject({ id: 'ada' })
      await isRefused(verify, bySecret({ sub: 'ada', exp: soon, [claim]: NOW_S + 31 }))
    }
  })

  test('it lives for a day from when it was issued', async () => {
    await expect(holds({ iat: NOW_S, exp: NOW_S + DAY_S })).resolves.toMatchObject({ id: 'ada' })
    await expect(holds({ iat: soon - DAY_S, exp: soon })).resolves.toMatchObject({ id: 'ada' })
    await isRefused(verify, bySecret({ sub: 'ada', iat: NOW_S, exp: NOW_S + DAY_S + 1 }))
    await isRefused(verify, bySecret({ sub: 'ada', iat: NOW_S - 2 * DAY_S, exp: soon }))
  })

  test('one that does not say when it was issued ends within a day from now, and the skew', async () => {
    await expect(holds({ exp: NOW_S + DAY_S + 30 })).resolves.toMatchObject({ id: 'ada' })
    await isRefused(verify, bySecret({ sub: 'ada', exp: NOW_S + DAY_S + 31 }))
    await isRefused(verify, bySecret({ sub: 'ada', exp: soon * 1000 }))
  })

  test.each([
    undefined,
    null,
    'soon',
    String(soon),
    [soon],
    { soon },
    true,
    soon + 0.5,
    Number.MAX_VALUE,
  ])('it ends at a whole number, not %j', (exp) => isRefused(verify, bySecret({ sub: 'ada', exp })))

  test.each(['1e400', '-1e400'])('%s is no time', async (text) => {
    for (const claims of [
      `"exp":${text}`,
      `"exp":${soon},"iat":${text}`,
      `"exp":${soon},"nbf":${text}`,
    ]) {
      const signed = `${part({ alg: 'HS256' })}.${Buffer.from(`{"sub":"ada",${claims}}`).toString('base64url')}`
      const signature = createHmac('sha256', SECRET.reveal()).update(signed).digest('base64url')
      await isRefused(verify, `${signed}.${signature}`)
    }
  })

  test.each([null, '1', [1], {}, true])(
    'it begins and was issued at a number, not %j',
    async (time) => {
      await isRefused(verify, bySecret({ ...live, nbf: time }))
      await isRefused(verify, bySecret({ ...live, iat: time }))
    },
  )
})

describe('what the operator asks of tokens', () => {
  const issuer = 'https://idp.example.com/'
  const verify = makeVerify({ issuer, audience: 'patchbay' })
  const right = { ...live, iss: issuer, aud: 'patchbay' }

  test('the issuer and audience that are set, the audience also among others', async () => {
    for (const aud of ['patchbay', ['patchbay'], ['other', 'patchbay']]) {
      await expect(verify(bySecret({ ...right, aud }))).resolves.toMatchObject({ id: 'ada' })
    }
  })

  test.each([
    undefined,
    null,
    '',
    '*',
    'Patchbay',
    'patchbay ',
    [],
    ['other'],
    [['patchbay']],
    ['patchbay', ['x']],
    { 0: 'patchbay' },
    { patchbay: true },
  ])('no audience like %j', (aud) => isRefused(verify, bySecret({ ...right, aud })))

  test.each([
    undefined,
    null,
    'https://idp.example.com',
    'https://idp.example.com/ ',
    'https://idp.example.com.evil.example/',
    'HTTPS://idp.example.com/',
    [issuer],
  ])('no issuer like %j', (iss) => isRefused(verify, bySecret({ ...right, iss })))

  test('the type that is set, in any case and with or without "application/"; unset, any', async () => {
    const typed = makeVerify({ type: 'at+jwt' })
    for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt']) {
      await expect(typed(bySecret(live, { alg: 'HS256', typ }))).resolves.toMatchObject({
        id: 'ada',
      })
    }
    for (const typ of [undefined, 'JWT', 'id+jwt', '', 1, ['at+jwt']]) {
      await isRefused(typed, bySecret(live, { alg: 'HS256', typ }))
    }
    await expect(makeVerify()(bySecret(live, { alg: 'HS256', typ: 'JWT' }))).resolves.toBeDefined()
  })
})

describe('what a token grants in orgs', () => {
  const verify = makeVerify({ orgClaim: 'orgs' })
  const claimed = async (orgs: unknown) => [...(await verify(bySecret({ ...live, orgs }))).claimed]

  test('is nothing where the operator lets no claim grant', async () => {
    const { claimed: none } = await makeVerify()(
      bySecret({ ...live, orgs: { acme: ['org:chat'] } }),
    )
    expect(none.size).toBe(0)
  })

  test('is what a list names exactly', async () => {
    expect(await claimed({ acme: ['org:chat', 'org:everything', 'org:tools:use'], b: [] })).toEqual(
      [
        ['acme', ['org:chat', 'org:tools:use']],
        ['b', []],
      ],
    )
  })

  test.each([
    'org:chat',
    ['org:chat '],
    [' org:chat'],
    ['ORG:CHAT'],
    ['org:*'],
    ['*'],
    ['org:chat:own'],
    ['org:chat,org:tools:use'],
    [['org:chat']],
    [{ name: 'org:chat' }],
    { 'org:chat': true },
    true,
    null,
    ['org:members:manage'],
  ])('is nothing for %j', async (granted) => {
    expect(await claimed({ acme: granted })).toEqual([['acme', []]])
  })

  test.each([undefined, null, 'acme', ['acme'], [['acme', ['org:chat']]], 1, true])(
    'is nothing anywhere where the claim is %j',
    async (orgs) => {
      expect(await claimed(orgs)).toEqual([])
    },
  )
})

describe('a token checked against published keys', () => {
  const header = { alg: 'RS256', kid: 'rsa' }

  test('holds by the key that its kid names', async () => {
    const { verify, asked } = openVerify(KEYS)
    await expect(verify(byKey(live, header))).resolves.toMatchObject({ id: 'ada' })
    const ofEc = byKey(live, { alg: 'ES256', kid: 'ec' }, ec.privateKey)
    await expect(verify(ofEc)).resolves.toMatchObject({ id: 'ada' })
    expect(asked).toEqual(['https://idp.example.com/jwks'])
  })

  test('without kid it holds only where one key is published', async () => {
    const { verify } = openVerify(KEYS.slice(0, 1))
    await expect(verify(byKey(live, { alg: 'RS256' }))).resolves.toMatchObject({ id: 'ada' })
    await isRefused(openVerify(KEYS).verify, byKey(live, { alg: 'RS256' }))
  })

  const publicPem = rsa.publicKey.export({ format: 'pem', type: 'spki' }).toString()
  test.each<[string, string]>([
    ['the public key as a shared secret', bySecret(live, { alg: 'HS256', kid: 'rsa' }, publicPem)],
    ['a shared secret', bySecret(live, { alg: 'HS256', kid: 'rsa' })],
    ['another key', byKey(live, header, stranger.privateKey)],
    ['the key of another kind', byKey(live, { alg: 'RS256', kid: 'ec' })],
    ['an algorithm that the key is not for', byKey(live, { alg: 'PS256', kid: 'rsa' })],
    ['another hash', byKey(live, { alg: 'RS512', kid: 'rsa' })],
    ['no algorithm', byKey(live, { alg: 'none', kid: 'rsa' })],
    ['a kid nobody knows', byKey(live, { alg: 'RS256', kid: 'nobody' })],
    ['crit', byKey(live, { ...header, crit: ['x'], x: 1 })],
    ['unencoded claims', byKey(live, { ...header, crit: ['b64'], b64: false })],
  ])('is refused with %s', (_, token) => isRefused(openVerify(KEYS).verify, token))

  test.each([
    1,
    null,
    true,
    ['rsa'],
    { kid: 'rsa' },
    '',
    'rsa ',
    'RSA',
    'constructor',
    '__proto__',
    '../../../dev/null',
    "rsa' or 1=1 --",
    'https://evil.example/jwks',
    'rsa\0',
    'r'.repeat(129),
  ])('is refused with the kid %j, and nothing else is asked', async (kid) => {
    const { verify, asked } = openVerify(KEYS)
    await isRefused(verify, byKey(live, { alg: 'RS256', kid }))
    expect(asked.filter((url) => url !== 'https://idp.example.com/jwks')).toEqual([])
  })

  test.each<[string, Json]>([
    ['jku', { jku: 'https://evil.example/jwks' }],
    ['x5u', { x5u: 'http://169.254.169.254/' }],
    ['jwk', { jwk: publish(stranger.publicKey, 'rsa') }],
    ['x5c', { x5c: ['AAAA'] }],
  ])('takes no key from %s, and asks nobody for it', async (_, extra) => {
    const { verify, asked } = openVerify(KEYS)
    await expect(verify(byKey(live, { ...header, ...extra }))).resolves.toMatchObject({ id: 'ada' })
    await isRefused(verify, byKey(live, { ...header, ...extra }, stranger.privateKey))
    expect(asked).toEqual(['https://idp.example.com/jwks'])
  })

  test('of a weak key is refused like any other', async () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const { verify } = openVerify([publish(weak.publicKey, 'rsa')])
    await isRefused(verify, byKey(live, header, weak.privateKey))
  })

  test('is unavailable only where that is what the keys are', async () => {
    const broken = makeVerify({ keys: () => Promise.reject(new TypeError('broken')) })
    await isRefused(broken, byKey(live, header))
  })
})
