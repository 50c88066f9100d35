import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Answer, openReceiver, type Receiver } from '../../test/fixtures/receiver.ts'
import { parseAllowList } from '../egress/allow-list.ts'
import { type Egress, openEgress } from '../egress/egress.ts'
import { type CheckedInvocation, makeCall } from './call.ts'
import type { ToolHost } from './definitions.ts'
import type { HttpConfig } from './http-config.ts'

const RUN_ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c03'
const HOST: ToolHost = {
  isEnabled: true,
  supportsTools: true,
  network: 'public',
  config: { project: 'PB' },
  credentials: { token: 'tok-very-secret', pin: '987654' },
  domains: null,
}

const ok: Answer = (response) => response.end()
let egress: Egress
let endpoint: Receiver
let answer: Answer

beforeAll(async () => {
  egress = openEgress({
    isHttpAllowed: true,
    allow: parseAllowList(['127.0.0.1/32']),
    allowInternal: parseAllowList([]),
  })
  endpoint = await openReceiver((response, request) => answer(response, request))
})
afterAll(async () => {
  await egress[Symbol.asyncDispose]()
  await endpoint[Symbol.asyncDispose]()
})
beforeEach(() => {
  answer = ok
  endpoint.requests.length = 0
})

interface Call {
  readonly domains?: readonly string[]
  readonly config?: Partial<HttpConfig>
  readonly invocation?: Partial<CheckedInvocation>
  readonly host?: Partial<ToolHost> | null
}

function call({ config, invocation, host = {}, domains }: Call = {}) {
  const run = makeCall({
    egress,
    loadHost: async () => (host === null ? null : { ...HOST, domains: domains ?? null, ...host }),
    userAgent: 'Patchbay/1.2.3',
  })
  const tool = {
    kind: 'external' as const,
    id: 'tool',
    name: 'jira.createIssue',
    argsSchema: { type: 'object' },
    integrationId: 'integration',
    httpConfig: { method: 'POST' as const, url: `${endpoint.url}/run`, ...config },
    rateLimit: null,
  }
  const whole: CheckedInvocation = {
    orgId: 'acme',
    userId: 'ann',
    conversationId: null,
    source: 'api',
    name: tool.name,
    args: { title: 'Hi' },
    ...invocation,
  }
  return run(tool, whole, RUN_ID)
}

function answers(status: number, headers: Record<string, string>, body: string | Buffer): Answer {
  return (response) => response.writeHead(status, headers).end(body)
}

describe('what is sent', () => {
  test('is the envelope, with who asks, unless the tool wants something else', async () => {
    await call({ invocation: { conversationId: 'c1' } })
    await call({ config: { body: 'args' } })
    await call({ config: { body: 'none' } })
    expect(endpoint.requests.map((request) => request.body)).toEqual([
      '{"orgId":"acme","userId":"ann","conversationId":"c1","args":{"title":"Hi"}}',
      '{"title":"Hi"}',
      '',
    ])
  })

  test.each(['GET', 'DELETE'] as const)(
    'has no body with %s, unless one is asked for',
    async (method) => {
      await call({ config: { method } })
      await call({ config: { method, body: 'args' } })
      const [plain, asked] = endpoint.requests
      expect(plain).toMatchObject({ method, body: '' })
      expect(plain?.headers).not.toHaveProperty('content-type')
      expect(asked?.body).toBe('{"title":"Hi"}')
    },
  )

  test('says who we are, which run it is, and carries credentials where the tool puts them', async () => {
    await call({
      config: {
        url: `${endpoint.url}/{{config.project}}/{args.title}?key={{credentials.pin}}`,
        query: { t: '{args.title}' },
        headers: { Authorization: 'Bearer {{credentials.token}}' },
      },
      invocation: { args: { title: 'a/b c' } },
    })
    expect(endpoint.requests).toMatchObject([
      {
        method: 'POST',
        url: '/PB/a%2Fb%20c?key=987654&t=a%2Fb%20c',
        headers: {
          authorization: 'Bearer tok-very-secret',
          'user-agent': 'Patchbay/1.2.3',
          'idempotency-key': RUN_ID,
          'content-type': 'application/json',
          'accept-encoding': 'identity',
        },
      },
    ])
  })

  test('is nothing where an argument would climb out of its segment', async () => {
    const config = { url: `${endpoint.url}/items/{args.title}/x` }
    await expect(call({ config, invocation: { args: { title: '..' } } })).rejects.toMatchObject({
      code: 'INVALID_BODY',
      details: [{ path: 'args.title' }],
    })
    expect(endpoint.requests).toEqual([])
  })
})

describe('what comes back', () => {
  const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }

  test.each<[string, Answer, unknown]>([
    ['JSON', answers(200, JSON_TYPE, '{"id":1}'), { id: 1 }],
    ['JSON of another name', answers(201, { 'content-type': 'application/hal+json' }, '[1]'), [1]],
    ['JSON without a type', answers(200, {}, '{"id":1}'), { id: 1 }],
    ['text', answers(200, { 'content-type': 'text/plain' }, '123'), '123'],
    ['text that claims to be JSON', answers(200, JSON_TYPE, 'oops'), 'oops'],
    ['nothing', answers(204, {}, ''), null],
  ])('is a result: %s', async (_, given, result) => {
    answer = given
    expect(await call()).toMatchObject({ outcome: 'success', result, error: null })
  })

  test('over 256 KiB is cut and says so', async () => {
    answer = answers(200, JSON_TYPE, JSON.stringify({ text: 'x'.repeat(300_000) }))
    const { outcome, result } = await call()
    expect(outcome).toBe('success')
    expect(result).toMatch(/^\{"text":"x+\n\[cut: the result is over 262144 bytes\]$/)
    expect(String(result).length).toBeLessThan(262_144 + 100)
  })

  test('nested without end is cut and says so', async () => {
    answer = answers(200, JSON_TYPE, '['.repeat(100_000) + ']'.repeat(100_000))
    const { outcome, result } = await call()
    expect(outcome).toBe('success')
    expect(JSON.stringify(result)).toContain('[cut: nested deeper')
  })

  test.each<[number, string, string]>([
    [500, 'it broke\u0000', 'HTTP 500: it broke\ufffd'],
    [404, '', 'HTTP 404'],
    [400, 'x'.repeat(1000), `HTTP 400: ${'x'.repeat(300)}…`],
  ])('as %i is an error with a short snippet', async (status, body, error) => {
    answer = answers(status, {}, body)
    expect(await call()).toMatchObject({ outcome: 'error', result: null, error })
  })

  test('as a redirect is an error, and nobody follows it', async () => {
    answer = answers(302, { location: `${endpoint.url}/elsewhere` }, '')
    expect(await call()).toMatchObject({
      outcome: 'error',
      error: 'HTTP 302 (redirects are not followed)',
    })
    expect(endpoint.requests).toHaveLength(1)
  })

  test('compressed, though nobody asked, is an error', async () => {
    answer = answers(200, { 'content-encoding': 'gzip' }, Buffer.from([31, 139]))
    expect(await call()).toMatchObject({
      outcome: 'error',
      error: 'HTTP 200: the answer is encoded (gzip), unasked',
    })
  })

  test('too late is a timeout', async () => {
    answer = () => undefined
    expect(await call({ config: { timeoutMs: 100 } })).toMatchObject({
      outcome: 'timeout',
      error: 'no answer within 0.1 s',
    })
  })

  test('not at all, because nothing listens, is an error', async () => {
    const gone = await openReceiver()
    await gone[Symbol.asyncDispose]()
    expect(await call({ config: { url: gone.url } })).toMatchObject({
      outcome: 'error',
      error: 'connection refused: nothing listens there',
    })
  })

  test('when the caller has left is an error', async () => {
    const caller = new AbortController()
    answer = () => caller.abort()
    expect(await call({ invocation: { signal: caller.signal } })).toMatchObject({
      outcome: 'error',
      error: 'interrupted before the endpoint answered',
    })
  })
})

describe('what is not called', () => {
  test('is an address that is not public', async () => {
    const url = endpoint.url.replace('127.0.0.1', '127.0.0.2')
    expect(await call({ config: { url } })).toMatchObject({
      outcome: 'blocked',
      error: 'the URL points to an address that is not public',
    })
  })

  test.each<[string, Call, string]>([
    ['a disabled integration', { host: { isEnabled: false } }, 'its integration is disabled'],
    ['a deleted integration', { host: null }, 'its integration is disabled'],
    [
      'one without the credential that the tool sends',
      { config: { headers: { a: '{{credentials.token}}' } }, host: { credentials: {} } },
      'its integration has no credentials.token any more',
    ],
    [
      'one whose credential cannot stand in a header',
      {
        config: { headers: { a: '{{credentials.token}}' } },
        host: { credentials: { token: 'a\r\nb: c' } },
      },
      "the tool's header a has a value with characters that are not allowed in a header",
    ],
    [
      'one whose credential is longer than a header may be',
      {
        config: { headers: { a: '{{credentials.token}}' } },
        host: { credentials: { token: 'x'.repeat(5000) } },
      },
      "the tool's header a has a value of over 4096 characters",
    ],
  ])('is %s', async (_, given, error) => {
    expect(await call(given)).toMatchObject({ outcome: 'error', error })
    expect(endpoint.requests).toEqual([])
  })
})

test('a host that the org itself does not name is blocked', async () => {
  expect(await call({ domains: ['example.com'] })).toMatchObject({
    outcome: 'blocked',
    error: "the URL has a host that the org's allow-list does not name",
  })
  expect(endpoint.requests).toEqual([])
})

describe('a credential', () => {
  const echo = { headers: { authorization: 'Bearer {{credentials.token}}' } }

  test.each([200, 400])('never comes back, whatever an endpoint echoes with %i', async (status) => {
    answer = (response, request) => {
      const body = JSON.stringify({ heard: request.headers, 'tok-very-secret': 987654 })
      response.writeHead(status, { 'content-type': 'application/json' }).end(body)
    }
    const run = await call({ config: echo, invocation: { args: { note: 'tok-very-secret' } } })
    expect(JSON.stringify(run)).toContain('[secret]')
    expect(JSON.stringify(run)).not.toMatch(/tok-very-secret|987654/)
    expect(run.arguments).toEqual({ note: '[secret]' })
  })

  test('does not come back in part, where the text is cut in the middle of it', async () => {
    for (const [status, length] of [
      [400, 300],
      [200, 262_144],
    ] as const) {
      answer = answers(status, {}, `${'x'.repeat(length - 8)}tok-very-secret${'x'.repeat(300_000)}`)
      expect(JSON.stringify(await call({ config: echo }))).not.toContain('tok-')
    }
  })
})
