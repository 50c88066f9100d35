import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openLoopbackEgress } from '../../test/fixtures/egress.ts'
import { type Answer, openReceiver, type Receiver } from '../../test/fixtures/receiver.ts'
import type { Egress } from '../egress/egress.ts'
import { type CheckedInvocation, makeCall } from './call.ts'
import { makeCircuit } from './circuit.ts'
import type { ToolHost } from './definitions.ts'
import type { HttpConfig } from './http-config.ts'
import { makeSendCall } from './send-call.ts'

const RUN_ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c03'
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const HOST: ToolHost = {
  id: 'integration',
  signingSecrets: [SECRET],
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
  egress = openLoopbackEgress()
  endpoint = await openReceiver((response, request) => answer(response, request))
})
afterAll(async () => {
  await egress[Symbol.asyncDispose]()
  await endpoint[Symbol.asyncDispose]()
})
beforeEach(() => {
  answer = ok
  endpoint.requests.length = 0
  begun = []
})

interface Call {
  readonly domains?: readonly string[]
  readonly config?: Partial<HttpConfig>
  readonly invocation?: Partial<CheckedInvocation>
  readonly host?: Partial<ToolHost> | null
  readonly tool?: Partial<Parameters<ReturnType<typeof makeCall>>[0]>
  readonly circuit?: ReturnType<typeof makeCircuit>
}

let begun: unknown[] = []
const circuitOf = () => makeCircuit(() => 0)

async function call({ config, invocation, host = {}, domains, tool: more, circuit }: Call = {}) {
  const run = makeCall({
    egress,
    circuit: circuit ?? circuitOf(),
    contextToken: async ({ userId, runId, audience }) => {
      if (userId === 'nobody') throw new Error('no key')
      return `token-for-${runId}-at-${audience}`
    },
    callMcp: () => Promise.reject(new Error('not a tool of a server')),
    sendCall: makeSendCall({
      egress,
      nowMs: Date.now,
      random: () => 0,
      randomBytes,
      sleep: async () => undefined,
    }),
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
    description: 'Creates an issue.',
    sourceKey: null,
    approval: 'auto' as const,
    outputSchema: null,
    ...more,
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
  const begin = async (shown: unknown) => void begun.push(shown)
  const { exchange: _, ...called } = await run(tool, whole, { id: RUN_ID, begin })
  return called
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
    expect(begun).toEqual([])
  })

  test('is signed as a webhook is, also without a body; any Standard Webhooks library verifies it', async () => {
    await call()
    await call({ config: { method: 'GET' } })
    for (const { headers, body } of endpoint.requests) {
      expect(headers['webhook-id']).toBe(RUN_ID)
      const signed = Object.fromEntries(
        ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [
          name,
          String(headers[name]),
        ]),
      )
      expect(() => new Webhook(SECRET).verify(body === '' ? '' : body, signed)).not.toThrow(
        /signature/,
      )
      expect(headers['x-ai-chat-tool']).toBe('jira.createIssue')
      expect(headers['x-ai-chat-context']).toBe(`token-for-${RUN_ID}-at-${endpoint.url}`)
    }
    expect(endpoint.requests).toHaveLength(2)
  })

  test('goes on the trace of the request that asked, or begins one', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    await call({ invocation: { traceparent } })
    await call()
    const [own, fresh] = endpoint.requests.map(({ headers }) => String(headers.traceparent))
    expect(own).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/)
    expect(fresh).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-02$/)
  })

  test('leaves after its run is written down, without what the schema marks as secret', async () => {
    const argsSchema = {
      type: 'object',
      properties: { title: {}, pin: { type: 'string', 'x-secret': true } },
    }
    answer = (response, request) => {
      expect(begun).toHaveLength(1)
      response.end(request.body)
    }
    const given = {
      tool: { argsSchema },
      invocation: { args: { title: 'Hi', pin: '4711-secret' } },
    }
    const run = await call(given)
    expect(begun).toEqual([{ title: 'Hi', pin: '[secret]' }])
    expect(run).toMatchObject({ outcome: 'success', arguments: { title: 'Hi', pin: '[secret]' } })
    expect(JSON.stringify(run.result)).not.toContain('4711-secret')
    expect(endpoint.requests[0]?.body).toContain('4711-secret')
  })
})

test('a POST is tried again where the tool says that nothing happens twice by it', async () => {
  answer = (response) => response.writeHead(endpoint.requests.length === 1 ? 503 : 200).end('{}')
  expect(await call({ config: { isIdempotent: true } })).toMatchObject({ attempts: 2 })
  endpoint.requests.length = 0
  expect(await call()).toMatchObject({ outcome: 'error', attempts: 1 })
})

describe('an endpoint that fails again and again', () => {
  test('is not called for a while, which the run says; what it refuses is no failure of it', async () => {
    const circuit = circuitOf()
    answer = answers(400, {}, '')
    for (let i = 0; i < 6; i += 1) await call({ circuit })
    answer = answers(500, {}, '')
    for (let i = 0; i < 5; i += 1) await call({ circuit })
    expect(endpoint.requests).toHaveLength(11)
    expect(await call({ circuit })).toMatchObject({
      outcome: 'error',
      attempts: 0,
      error: 'its endpoint has failed 5 times in a row; it is tried again in 30 s',
    })
    expect(endpoint.requests).toHaveLength(11)
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
    // Nor what proves the call.
    expect(JSON.stringify([run.result, run.error])).not.toMatch(/token-for-|v1,|[0-9a-f]{64}/)
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

test('without the token that says for whom it is called there is no run', async () => {
  await expect(call({ invocation: { userId: 'nobody' } })).rejects.toThrow('no key')
  expect([begun, endpoint.requests]).toEqual([[], []])
})
