import { expect, test } from 'vitest'
import { type Answer, toSnippet } from '../../src/core/answer.ts'
import type { Outcome } from '../../src/core/delivery.ts'
import type { Provider } from '../../src/core/provider.ts'
import { openSample, type ProviderSamples, secretsOf } from './samples.ts'

const NOW_MS = Date.UTC(2026, 10, 23, 15)
const MAX_ERROR_LENGTH = 500
const NOTHING = Buffer.alloc(0)

const OK_STATUSES = [200, 201, 202, 204, 299]
const FAILED_STATUSES = [
  ...[301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 408, 409, 413, 421, 425, 451],
  ...[500, 501, 502, 503, 504, 511, 599],
]
const STATUSES = [...OK_STATUSES, ...FAILED_STATUSES, 410, 429]

/** What nobody has thought of: of the app, or of something in front of it. */
const GARBAGE: readonly (string | Buffer)[] = [
  '',
  Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
  ...['{"ok":', '{"ok":tru', 'null', '[]', '""', '7', '{}', '{"ok":false}', '{"ok":1,"ts":2}'],
  ...['{"ok":true,"message":null}', '{"ok":false,"error":null}', '{"ok":false,"error":"toString"}'],
  ...['{"error":{"code":5,"message":[]}}', '{"error":"__proto__"}', '{"code":1e999}'],
  ...['constructor', '__proto__', 'hasOwnProperty', ' \r\n ', '<html>502 Bad Gateway</html>'],
  'x'.repeat(16_384),
  '['.repeat(16_384),
  '{"a":'.repeat(3276),
]

function makeAnswer(statusCode: number, body: string | Buffer, retryAfter?: string): Answer {
  const bytes = Buffer.from(body)
  return { statusCode, retryAfter, snippet: toSnippet(bytes.toString(), false), body: bytes }
}

/** What a person or a table gets to read. */
function wordsOf(outcome: Outcome): string[] {
  const { error = '', consequence } = { consequence: undefined, error: '', ...outcome }
  return consequence === undefined ? [error] : [error, consequence.reason]
}

/** What the answers of an app mean. To be called inside a `describe` of the provider. */
export function describeAnswers(provider: Provider, samples: ProviderSamples): void {
  describeKnown(provider, samples)
  describeStatuses(provider, samples)
  describeGarbage(provider, samples)
}

function describeKnown(provider: Provider, samples: ProviderSamples): void {
  test.each(samples.urls)('a message that its app has taken is delivered: %#', (sample) => {
    const sender = openSample(provider, samples, sample)
    expect(sample.taken).not.toEqual([])
    for (const { statusCode, body } of sample.taken) {
      const outcome = sender.judge(makeAnswer(statusCode, body), NOW_MS)
      expect(outcome).toMatchObject({ kind: 'delivered', statusCode })
    }
  })

  test.each(samples.urls.flatMap((sample) => sample.endings.map((ending) => ({ sample, ending }))))(
    'after $ending.statusCode $ending.body a person has to act, and is told what to do',
    ({ sample, ending: { statusCode, body, stops } }) => {
      const outcome = openSample(provider, samples, sample).judge(
        makeAnswer(statusCode, body),
        NOW_MS,
      )
      expect(outcome.kind).toBe(stops === 'token' ? 'interrupted' : 'failed')
      const reason = expect.stringMatching(/^\p{Lu}[^\n]{20,400}$/u)
      expect(outcome).toMatchObject({ consequence: { stops, reason } })
    },
  )
}

function describeStatuses(provider: Provider, samples: ProviderSamples): void {
  const judgeAll = (answer: Answer) =>
    samples.urls.map((sample) => openSample(provider, samples, sample).judge(answer, NOW_MS))

  test.each([
    ['30', 30_000],
    ['Mon, 23 Nov 2026 15:01:00 GMT', 60_000],
    [undefined, null],
    ['soon', null],
  ])('a 429 with Retry-After %j throttles, for %j ms', (retryAfter, retryAfterMs) => {
    for (const outcome of judgeAll(makeAnswer(429, NOTHING, retryAfter))) {
      expect(outcome).toMatchObject({ kind: 'throttled', statusCode: 429, retryAfterMs })
    }
  })

  test.each(FAILED_STATUSES)('an empty %i is a failed try that somebody can name', (statusCode) => {
    for (const outcome of judgeAll(makeAnswer(statusCode, NOTHING))) {
      expect(outcome).toMatchObject({ kind: 'failed', statusCode })
      expect(wordsOf(outcome)[0]).toMatch(/\S/)
    }
  })

  test('an empty 410 is a goodbye, or a failed try where the app says goodbye in words', () => {
    for (const outcome of judgeAll(makeAnswer(410, NOTHING))) {
      expect(['gone', 'failed']).toContain(outcome.kind)
    }
  })
}

function describeGarbage(provider: Provider, samples: ProviderSamples): void {
  const secrets = secretsOf(samples)
  /** An app or a proxy that says its request back. */
  const echoes = [
    secrets.join(' '),
    JSON.stringify({ ok: false, error: secrets.join(' ') }),
    JSON.stringify({ code: 0, error: { code: secrets.join(' '), message: secrets.join(' ') } }),
    ...secrets,
  ]

  test.each(STATUSES)('a %i with any body is judged, and in a few words', (statusCode) => {
    for (const sample of samples.urls) {
      const sender = openSample(provider, samples, sample)
      for (const body of GARBAGE) {
        const outcome = sender.judge(makeAnswer(statusCode, body), NOW_MS)
        expect(outcome.kind).not.toBe('expired')
        for (const words of wordsOf(outcome)) {
          expect(words.length).toBeLessThanOrEqual(MAX_ERROR_LENGTH)
          expect(words.isWellFormed()).toBe(true)
        }
      }
    }
  })

  test.each(STATUSES)(
    'a %i that says its request back brings no secret into words',
    (statusCode) => {
      for (const sample of samples.urls) {
        const sender = openSample(provider, samples, sample)
        for (const body of echoes) {
          const words = wordsOf(sender.judge(makeAnswer(statusCode, body), NOW_MS)).join('\n')
          for (const secret of secrets) expect(words).not.toContain(secret)
        }
      }
    },
  )

  test('the thread of an answer that makes no sense is none', () => {
    expect(samples.urls).not.toEqual([])
    for (const sample of samples.urls) {
      const { threadOf } = openSample(provider, samples, sample)
      for (const body of GARBAGE) expect(threadOf(makeAnswer(200, body))).toBeNull()
    }
  })
}
