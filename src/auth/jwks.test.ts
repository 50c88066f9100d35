import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { type FindPublishedKey, makeJwks } from './jwks.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

const { publicKey } = generateKeyPairSync('ed25519')
const jwks = (...kids: string[]) =>
  JSON.stringify({ keys: kids.map((kid) => ({ ...publicKey.export({ format: 'jwk' }), kid })) })

type Answer = () => Response | Promise<Response>

/** A provider whose answer, and a clock whose time, the test sets. */
function openProvider(answer: Answer, timeoutMs?: number) {
  const provider = {
    answer,
    nowMs: 0,
    requests: [] as RequestInit[],
    warnings: [] as string[],
    recoveries: 0,
  }
  const find = makeJwks({
    url: 'https://idp.example.com/jwks',
    fetch: async (_, init = {}) => {
      provider.requests.push(init)
      return provider.answer()
    },
    nowMs: () => provider.nowMs,
    log: {
      warn: (fields: { reason: string }) => void provider.warnings.push(fields.reason),
      info: () => {
        provider.recoveries += 1
      },
    },
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  })
  return { provider, find }
}

const good =
  (...kids: string[]): Answer =>
  () =>
    new Response(jwks(...kids))
const down: Answer = () => Promise.reject(new TypeError('fetch failed', { cause: refused }))
const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })

const isKnown = async (find: FindPublishedKey, kid = 'a') => (await find(kid)) !== null

test('the keys are fetched when the first token comes, and serve for ten minutes', async () => {
  const { provider, find } = openProvider(good('a'))
  expect(provider.requests).toHaveLength(0)
  expect(await isKnown(find)).toBe(true)
  provider.nowMs = 10 * MINUTE - 1
  expect(await isKnown(find)).toBe(true)
  expect(provider.requests).toHaveLength(1)
  provider.nowMs = 10 * MINUTE
  expect(await isKnown(find)).toBe(true)
  expect(provider.requests).toHaveLength(2)
})

test('a hundred tokens at once make one fetch', async () => {
  const { provider, find } = openProvider(good('a'))
  const found = await Promise.all(Array.from({ length: 100 }, () => isKnown(find)))
  expect(found).not.toContain(false)
  expect(provider.requests).toHaveLength(1)
})

test('a key that the provider took away serves no longer than ten minutes', async () => {
  const { provider, find } = openProvider(good('a'))
  await isKnown(find)
  provider.answer = good('b')
  provider.nowMs = 10 * MINUTE
  expect(await isKnown(find, 'a')).toBe(false)
  expect(await isKnown(find, 'b')).toBe(true)
})

test('an unknown kid asks for the keys again, every thirty seconds at most, known or not', async () => {
  const { provider, find } = openProvider(good('a'))
  await isKnown(find)
  for (let token = 0; token < 1000; token += 1) expect(await isKnown(find, `${token}`)).toBe(false)
  expect(provider.requests).toHaveLength(1)
  provider.nowMs = 30 * SECOND
  provider.answer = good('a', 'b')
  const found = await Promise.all(['b', 'c', 'b', 'd'].map((kid) => isKnown(find, kid)))
  expect(found).toEqual([true, false, true, false])
  expect(provider.requests).toHaveLength(2)
  for (let token = 0; token < 1000; token += 1) await isKnown(find, `${token}`)
  expect(provider.requests).toHaveLength(2)
})

test('while the provider is down the last keys serve, and tries become rarer', async () => {
  const { provider, find } = openProvider(good('a'))
  await isKnown(find)
  provider.answer = down
  provider.nowMs = 10 * MINUTE
  const tries: number[] = []
  for (; provider.nowMs < 24 * HOUR; provider.nowMs += SECOND) {
    const before = provider.requests.length
    expect(await isKnown(find)).toBe(true)
    await isKnown(find, 'unknown')
    if (provider.requests.length > before) tries.push(provider.nowMs / SECOND)
    if (tries.length === 8) break
  }
  const waits = tries.slice(1).map((at, index) => at - (tries[index] ?? 0))
  expect(waits).toEqual([10, 20, 40, 80, 160, 300, 300])
  expect(provider.warnings).toEqual(['the JWKS cannot be fetched: ECONNREFUSED'])
  provider.answer = good('a')
  provider.nowMs += 5 * MINUTE
  await isKnown(find)
  // Waits for the fetch that the first one has started.
  await isKnown(find, 'unknown')
  expect(provider.recoveries).toBe(1)
})

test('known to be down, the provider is asked behind the requests, which do not wait', async () => {
  const { provider, find } = openProvider(good('a'))
  await isKnown(find)
  provider.answer = down
  provider.nowMs = 10 * MINUTE
  await isKnown(find)
  const { promise, resolve } = Promise.withResolvers<Response>()
  provider.answer = () => promise
  provider.nowMs += 10 * SECOND
  expect(await isKnown(find)).toBe(true)
  expect(provider.requests).toHaveLength(3)
  resolve(new Response(jwks('a')))
})

test('after a day without the provider its keys serve no more, and that is nobody’s bad token', async () => {
  const { provider, find } = openProvider(good('a'))
  await isKnown(find)
  provider.answer = down
  provider.nowMs = 24 * HOUR - 1
  expect(await isKnown(find)).toBe(true)
  provider.nowMs = 24 * HOUR
  await expect(find('a')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  provider.answer = good('a')
  provider.nowMs += MINUTE
  expect(await isKnown(find)).toBe(true)
})

test.each<[string, Answer, RegExp]>([
  ['an HTML page', () => new Response('<!doctype html>'), /not a JSON Web Key Set/],
  ['another JSON', () => Response.json({ error: 'no' }), /not a JSON Web Key Set/],
  ['an error', () => new Response(jwks('a'), { status: 500 }), /answered 500/],
  [
    'a redirect',
    () =>
      new Response(jwks('a'), { status: 302, headers: { location: 'http://169.254.169.254/' } }),
    /answered 302 \(redirects are not followed\)/,
  ],
  ['no connection', down, /ECONNREFUSED/],
  ['over 64 KiB', () => new Response(`${jwks('a')}${' '.repeat(65_536)}`), /over 65536 bytes/],
])(
  '%s gives no keys and no token holds; the next try waits ten seconds',
  async (_, answer, reason) => {
    const { provider, find } = openProvider(answer)
    for (let token = 0; token < 10; token += 1) await expect(find('a')).rejects.toThrow(/no keys/)
    expect(provider.requests).toHaveLength(1)
    expect(provider.warnings).toEqual([expect.stringMatching(reason)])
    provider.answer = good('a')
    provider.nowMs = 10 * SECOND - 1
    await expect(find('a')).rejects.toThrow(/no keys/)
    provider.nowMs = 10 * SECOND
    expect(await isKnown(find)).toBe(true)
  },
)

test('what is no JWKS does not take the place of the last one', async () => {
  const { provider, find } = openProvider(good('a'))
  await isKnown(find)
  provider.answer = () => new Response('<!doctype html>')
  provider.nowMs = 10 * MINUTE
  expect(await isKnown(find)).toBe(true)
})

test('a provider that never answers is given up at the time limit, and no redirect is asked for', async () => {
  const { provider, find } = openProvider(() => Promise.reject(new Error('unused')), 1)
  provider.answer = () => {
    const signal = provider.requests[0]?.signal
    return new Promise((_, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason))
    })
  }
  await expect(find('a')).rejects.toThrow(/no keys/)
  expect(provider.warnings).toEqual([expect.stringMatching(/no answer within the time limit/)])
  expect(provider.requests[0]?.redirect).toBe('manual')
})

test('an endless answer is cut off', async () => {
  let isCanceled = false
  const endless = () =>
    new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(16_384)),
      cancel: () => {
        isCanceled = true
      },
    })
  const { find } = openProvider(() => new Response(endless()))
  await expect(find('a')).rejects.toThrow(/no keys/)
  expect(isCanceled).toBe(true)
})

test('what is wrong with a key is told once, not with every fetch', async () => {
  const { provider, find } = openProvider(good('a', 'a', 'b'))
  expect(await isKnown(find, 'a')).toBe(false)
  provider.nowMs = 10 * MINUTE
  expect(await isKnown(find, 'b')).toBe(true)
  expect(provider.requests).toHaveLength(2)
  expect(provider.warnings).toEqual(['key "a" shares its kid with another'])
})
