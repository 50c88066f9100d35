import { expect, test } from 'vitest'
import type { CallApp, Provider } from '../../src/core/provider.ts'
import { openSample, type ProviderSamples, secretsOf } from './samples.ts'

type CallResult = Awaited<ReturnType<CallApp>>
type CallRequest = Parameters<CallApp>[0]

const NO_ANSWERS: readonly CallResult[] = [
  { isAnswer: false, reason: 'connection refused' },
  { isAnswer: false, reason: 'no whole answer within 15 s' },
  { isAnswer: false, reason: '' },
]

const BODIES = [
  ...['', '{"ok":', 'null', '[]', '7', '{}', '{"ok":true}', '{"ok":1}', '{"ok":false}'],
  ...['{"ok":false,"error":"invalid_auth"}', '{"ok":false,"error":"__proto__"}', '\ufffd\u0000'],
  ...['{"ok":true,"team":5,"user":[]}', '<html>', 'x'.repeat(16_384), '['.repeat(16_384)],
]

const ANSWERS: readonly CallResult[] = [
  200, 204, 302, 400, 401, 403, 404, 410, 429, 500, 503,
].flatMap((statusCode) => BODIES.map((body) => ({ isAnswer: true as const, statusCode, body })))

/** What `verify` does to an app. To be called inside a `describe` of the provider. */
export function describeVerify(provider: Provider, samples: ProviderSamples): void {
  const apps = [{}, ...samples.credentials].flatMap((credentials) =>
    [{}, ...samples.configs].map((config) => ({ credentials, config })),
  )
  const secrets = secretsOf(samples)

  async function verify(app: (typeof apps)[number], result: CallResult) {
    const asked: CallRequest[] = []
    const call: CallApp = async (request) => {
      asked.push(request)
      return result
    }
    return { asked, ...(await provider.verify(app, call)) }
  }

  test.each(apps)('whatever the app answers, %j is told in words what came of it', async (app) => {
    for (const result of [...NO_ANSWERS, ...ANSWERS]) {
      const { detail, ok } = await verify(app, result)
      expect(ok).toBeTypeOf('boolean')
      expect(detail).toMatch(/^\p{L}[\s\S]{19,799}$/u)
      for (const secret of secrets) expect(detail).not.toContain(secret)
    }
  })

  test.each(apps)('%j is not well while what it asks does not answer, or breaks', async (app) => {
    for (const result of [...NO_ANSWERS, ...ANSWERS.filter(isBroken)]) {
      const { asked, ok } = await verify(app, result)
      // What lacks something is not well either, and is not asked.
      expect(ok).toBe(asked.length === 0 && samples.needsConfig !== true)
    }
  })

  test.each(apps)('it asks %j for nothing that people would see', async (app) => {
    const posts = samples.urls.map((sample) => openSample(provider, samples, sample).url)
    for (const result of [...NO_ANSWERS, ...ANSWERS]) {
      const { asked } = await verify(app, result)
      expect(asked.length).toBeLessThanOrEqual(3)
      for (const { method, url, headers } of asked) {
        expect(posts).not.toContain(url)
        expect(['GET', 'POST']).toContain(method)
        expect(headers.length % 2).toBe(0)
      }
    }
  })
}

function isBroken(result: CallResult): boolean {
  return result.isAnswer && result.statusCode >= 500
}
