import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { openProxy, type ProxyAnswer } from '../../test/fixtures/proxy.ts'
import { openReceiver } from '../../test/fixtures/receiver.ts'
import { Secret } from '../core/secret.ts'
import { parseAllowList } from './allow-list.ts'
import { type EgressOptions, openEgress } from './egress.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const receiver = stack.use(await openReceiver())
const proxy = stack.use(await openProxy({ port: receiver.port }))
afterEach(() => {
  proxy.answer = { port: receiver.port }
  proxy.wishes.length = 0
})

/** Without sockets that an earlier request left open. */
async function send(url: string, options: Partial<EgressOptions> = {}, timeoutMs = 5000) {
  await using egress = openEgress({
    isHttpAllowed: true,
    allow: parseAllowList([]),
    allowInternal: parseAllowList([]),
    resolve: async () => ['93.184.216.34', '2606:4700::1111'],
    proxy: new Secret(`http://127.0.0.1:${proxy.port}`),
    ...options,
  })
  const verdict = egress.judge(url, { orgId: 'acme', network: 'public', domains: null })
  if (!verdict.isAllowed) throw new Error(verdict.reason)
  const request = { method: 'POST', headers: [], body: 'hi', timeoutMs, maxBytes: 1000 }
  return await egress.send(verdict.target, 'public', request)
}

const URL_TO_CALL = 'http://hooks.example.com/in?x=1'

describe('the operator’s proxy', () => {
  test('is asked for a tunnel to the address that was vetted, also for plain http', async () => {
    expect(await send(URL_TO_CALL)).toMatchObject({ kind: 'answer', statusCode: 200 })
    expect(proxy.wishes).toEqual([
      { authority: '93.184.216.34:80', headers: expect.objectContaining({ connection: 'close' }) },
    ])
    expect(receiver.requests.at(-1)).toMatchObject({
      url: '/in?x=1',
      body: 'hi',
      headers: { host: 'hooks.example.com' },
    })
    expect(receiver.requests.at(-1)?.headers).not.toHaveProperty('proxy-authorization')
    await send('http://[2606:4700::1111]:8080/')
    expect(proxy.wishes.at(-1)?.authority).toBe('[2606:4700::1111]:8080')
    expect(proxy.plain).toEqual([])
  })

  test('is asked for nothing that the guard refuses', async () => {
    const resolve = async () => ['93.184.216.34', '169.254.169.254']
    expect(await send(URL_TO_CALL, { resolve })).toMatchObject({ kind: 'blocked' })
    expect(proxy.wishes).toEqual([])
  })

  test('that is away is our trouble, and costs the endpoint nothing', async () => {
    const gone = await openProxy('hang')
    await gone[Symbol.asyncDispose]()
    const to = { proxy: new Secret(`http://user:hunter2@127.0.0.1:${gone.port}`) }
    expect(await send(URL_TO_CALL, to)).toEqual({
      kind: 'interrupted',
      reason: "the operator's proxy cannot be reached (ECONNREFUSED)",
      waitMs: 10_000,
    })
  })

  test.each<[string, ProxyAnswer]>([
    ['wants credentials', { status: 407, headers: { 'proxy-authenticate': 'Basic realm="x"' } }],
    ['is broken', { status: 500 }],
    ['is no proxy', { status: 404 }],
    ['redirects', { status: 302 }],
    ['closes the connection', 'reset'],
  ])('that %s is our trouble', async (_, answer) => {
    proxy.answer = answer
    expect(await send(URL_TO_CALL)).toMatchObject({
      kind: 'interrupted',
      reason: expect.stringMatching(/^the operator's proxy (?:answers \d+|closed the connection)/),
      waitMs: 10_000,
    })
  })

  test.each<[string, ProxyAnswer, RegExp]>([
    ['a rule against the host', { status: 403 }, /does not allow this host/],
    ['a rule in Smokescreen’s way', { status: 407 }, /does not allow this host/],
    ['a host that is down', { status: 502 }, /could not reach the host/],
    ['a host that is down, in Squid’s way', { status: 503 }, /could not reach the host/],
    ['a host that is silent', { status: 504 }, /could not reach the host in time/],
  ])('that has %s does not get to the endpoint: a failed try', async (_, answer, reason) => {
    proxy.answer = answer
    expect(await send(URL_TO_CALL)).toEqual({
      kind: 'failed',
      reason: expect.stringMatching(reason),
    })
  })

  test('that waits for a host that swallows everything is a failed try within the limit', async () => {
    proxy.answer = 'hang'
    expect(await send(URL_TO_CALL, { connectTimeoutMs: 200 })).toEqual({
      kind: 'failed',
      reason: "no connection through the operator's proxy within the time limit",
    })
  })
})
