import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ForwardProxy, openProxy } from '../../test/fixtures/proxy.ts'
import { Secret } from '../core/secret.ts'
import { parseAllowList } from './allow-list.ts'
import { type EgressOptions, openEgress } from './egress.ts'

/** A certificate authority that nobody else trusts, and a key that opens nothing. */
const fixtures = join(import.meta.dirname, '../../test/fixtures/tls')
const read = (file: string) => readFileSync(join(fixtures, file), 'utf8')
const tls = { key: read('server-key.pem'), cert: read('server.pem') }

const stack = new AsyncDisposableStack()
const names: unknown[] = []
const paths: string[] = []
let server: Server
let port = 0
let proxy: ForwardProxy
let securedProxy: ForwardProxy

beforeAll(async () => {
  setDefaultCACertificates([...getCACertificates('bundled'), read('ca.pem')])
  server = createServer(tls, (request, response) => {
    paths.push(`${request.headers.host}${request.url}`)
    response.end('ok')
  })
  server.on('secureConnection', (socket) => names.push(socket.servername))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  port = (server.address() as AddressInfo).port
  stack.defer(async () => {
    const closed = new Promise((done) => server.close(done))
    server.closeAllConnections()
    await closed
  })
  proxy = stack.use(await openProxy({ port }))
  securedProxy = stack.use(await openProxy({ port }, tls))
})
afterAll(() => stack.disposeAsync())

/** One request on sockets of its own. */
async function send(url: string, options: Partial<EgressOptions> = {}) {
  await using egress = openEgress({
    isHttpAllowed: false,
    allow: parseAllowList(['127.0.0.1/32']),
    allowInternal: parseAllowList([]),
    resolve: async () => ['127.0.0.1'],
    ...options,
  })
  const verdict = egress.judge(url, { orgId: 'acme', network: 'public', domains: null })
  if (!verdict.isAllowed) throw new Error(verdict.reason)
  const request = { method: 'POST', headers: [], body: 'hi', timeoutMs: 5000, maxBytes: 1000 }
  return await egress.send(verdict.target, 'public', request)
}

describe('TLS', () => {
  test('is with the name, at the address that was vetted', async () => {
    const result = await send(`https://hooks.example.com:${port}/in`)
    expect(result).toMatchObject({ kind: 'answer', statusCode: 200 })
    expect(names.at(-1)).toBe('hooks.example.com')
    expect(paths.at(-1)).toBe(`hooks.example.com:${port}/in`)
  })

  test.each([
    ['of another name', 'other.example.com', 'TLS failed: ERR_TLS_CERT_ALTNAME_INVALID'],
    ['of a name, for an address', '127.0.0.1', 'TLS failed: ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('with a certificate %s fails, and nothing is sent', async (_, host, reason) => {
    const before = paths.length
    expect(await send(`https://${host}:${port}/`)).toEqual({ kind: 'failed', reason })
    expect(paths).toHaveLength(before)
  })

  test('goes through a tunnel of the proxy, and the proxy sees the address alone', async () => {
    const url = `http://me:p%40ss@127.0.0.1:${proxy.port}`
    const result = await send(`https://hooks.example.com:${port}/secret?x=1`, {
      proxy: new Secret(url),
    })
    expect(result).toMatchObject({ kind: 'answer', statusCode: 200 })
    expect(names.at(-1)).toBe('hooks.example.com')
    const credentials = `Basic ${Buffer.from('me:p@ss').toString('base64')}`
    expect(proxy.wishes.at(-1)).toEqual({
      authority: `127.0.0.1:${port}`,
      headers: expect.objectContaining({
        host: `127.0.0.1:${port}`,
        'proxy-authorization': credentials,
      }),
    })
    expect(JSON.stringify(proxy.wishes)).not.toMatch(/hooks\.example|secret/)
  })

  test('is checked through the tunnel as without one', async () => {
    const to = { proxy: new Secret(`http://127.0.0.1:${proxy.port}`) }
    expect(await send(`https://other.example.com:${port}/`, to)).toEqual({
      kind: 'failed',
      reason: 'TLS failed: ERR_TLS_CERT_ALTNAME_INVALID',
    })
  })

  test('is with the proxy, too, where its URL is https', async () => {
    const to = { proxy: new Secret(`https://localhost:${securedProxy.port}`) }
    const result = await send(`https://hooks.example.com:${port}/`, to)
    expect(result).toMatchObject({ kind: 'answer', statusCode: 200 })
    const wrong = { proxy: new Secret(`https://127.0.0.1:${securedProxy.port}`) }
    expect(await send(`https://hooks.example.com:${port}/`, wrong)).toEqual({
      kind: 'interrupted',
      reason: "the operator's proxy cannot be reached (ERR_TLS_CERT_ALTNAME_INVALID)",
      waitMs: 10_000,
    })
  })
})
