import { expect, test } from 'vitest'
import type { InboundRequest, Provider } from '../../src/core/provider.ts'
import type { InboundSample } from './samples.ts'

const NOW_MS = Date.UTC(2026, 10, 23, 15)
const HOUR_MS = 3_600_000

const GARBAGE = [
  ...['', ' ', '{', '{}', '[]', 'null', '7', '"text"', 'a=b&c=d', '\u0000', '\ufeff{}', '<xml/>'],
  ...['{"type":"message"}', '{"conversationId":1}', '{"__proto__":{"content":"x"}}'],
  'x'.repeat(100_000),
  '['.repeat(100_000),
]

/** How an app's requests to us are read. To be called inside a `describe` of the provider. */
export function describeInbound(provider: Provider, sample: InboundSample | null): void {
  const { readInbound } = provider
  test('what it reads and what its manifest says are the same', () => {
    expect(readInbound === null).toBe(sample === null)
    expect(readInbound === null || provider.manifest.supportsInbound).toBe(true)
  })
  if (readInbound === null || sample === null) return

  const { makeBody, secrets, sign } = sample
  const made = (nowMs = NOW_MS) => sign(makeBody(nowMs), nowMs)
  const read = (request: InboundRequest, of = secrets) => readInbound(request, of)

  test('what somebody said is read, and the same request again has the same key', () => {
    const inbound = read(made())
    expect(inbound).toEqual({
      kind: 'said',
      said: {
        key: expect.stringMatching(/^[a-z]+:[\x21-\x7e]{1,248}$/),
        text: expect.stringMatching(/\S/),
        user: {
          id: expect.stringMatching(/^.{1,256}$/),
          name: expect.toSatisfy((name) => name === null || typeof name === 'string'),
        },
        where: expect.any(Object),
        isAsking: expect.any(Boolean),
      },
    })
    expect(read(made())).toEqual(inbound)
  })

  test('an unsigned request is refused, and so is one to an integration without secrets', () => {
    expect(read({ ...made(), headers: {} }).kind).toBe('refused')
    expect(read(made(), { credentials: {}, signingSecrets: [] }).kind).toBe('refused')
  })

  test('a byte more, less or other in the body is refused', () => {
    const request = made()
    const bodies = [
      `${request.rawBody} `,
      request.rawBody.slice(1),
      request.rawBody.replace(/[a-z]/, (sign) => (sign === 'a' ? 'b' : 'a')),
      '',
    ]
    for (const rawBody of bodies) expect(read({ ...request, rawBody }).kind).toBe('refused')
  })

  test('a header that is other, cut, longer or missing is refused', () => {
    const { headers, ...rest } = made()
    for (const [name, value = ''] of Object.entries(headers)) {
      const changed = [undefined, '', value.slice(1), `${value}A`, 'ä\u0000']
      for (const other of changed) {
        const inbound = read({ ...rest, headers: { ...headers, [name]: other } })
        expect({ name, other, kind: inbound.kind }).toEqual({ name, other, kind: 'refused' })
      }
    }
  })

  test.each([-HOUR_MS, HOUR_MS])('a request of another hour (%i ms) is refused', (offMs) => {
    const { headers, rawBody } = made(NOW_MS + offMs)
    expect(read({ headers, rawBody, nowMs: NOW_MS }).kind).toBe('refused')
  })

  test('what is signed and makes no sense is said to be so; nobody said it', () => {
    for (const body of GARBAGE) {
      expect(['invalid', 'ignored', 'refused']).toContain(read(sign(body, NOW_MS)).kind)
    }
  })

  test('what is unsigned and makes no sense is refused', () => {
    for (const rawBody of GARBAGE) {
      expect(read({ headers: {}, rawBody, nowMs: NOW_MS }).kind).toBe('refused')
    }
  })
}
