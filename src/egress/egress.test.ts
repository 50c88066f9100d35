import { connect, createServer } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { openReceiver } from '../../test/fixtures/receiver.ts'
import { parseAllowList } from './allow-list.ts'
import { BlockedError, type Dial, makeGuardedConnector } from './connect.ts'
import { type EgressOptions, openEgress } from './egress.ts'
import type { EgressRequest } from './exchange.ts'
import { makeReach } from './reach.ts'

/** 50 MiB in 50 kB. */
const BOMB = gzipSync(Buffer.alloc(52_428_800))

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const receiver = stack.use(
  await openReceiver((response, { url }) => {
    switch (url.split('?')[0]) {
      case '/redirect':
        response.writeHead(302, { location: '/ok' }).end('moved')
        break
      case '/large':
        response.end('x'.repeat(100_000))
        break
      case '/drip': {
        const timer = setInterval(() => response.write('.'), 200)
        response.on('close', () => clearInterval(timer))
        break
      }
      case '/bomb':
        response.writeHead(200, { 'content-encoding': 'gzip' }).end(BOMB)
        break
      case '/hang':
        break
      case '/reset':
        response.socket?.resetAndDestroy()
        break
      case '/close':
        response.socket?.destroy()
        break
      default:
        response.end('ok')
    }
  }),
)

const ORG = { orgId: 'acme', domains: null }

function open(options: Partial<EgressOptions> = {}) {
  return stack.use(
    openEgress({
      isHttpAllowed: true,
      allow: parseAllowList(['127.0.0.1']),
      allowInternal: parseAllowList([]),
      resolve: () => Promise.resolve([]),
      ...options,
    }),
  )
}

const egress = open()

function send(url: string, more: Partial<EgressRequest> = {}, by = egress) {
  const { origin, pathname, search, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const target = { href: url, origin, path: pathname + search, host, port: Number(port) }
  const request = { method: 'POST', headers: [], body: 'hi', timeoutMs: 5000, maxBytes: 1000 }
  return by.send(target, 'public', { ...request, ...more })
}

/** A TCP server that says these words to everybody. */
async function openRaw(words: string): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end(words))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  stack.defer(() => new Promise<void>((done) => server.close(() => done())))
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`
}

describe('an answer', () => {
  test('comes with its status, headers and body', async () => {
    const result = await send(`${receiver.url}/in?x=1`, { headers: ['x-a', '1'] })
    expect(result).toMatchObject({ kind: 'answer', statusCode: 200, isCut: false })
    expect(String(result.kind === 'answer' && result.body)).toBe('ok')
    expect(receiver.requests.at(-1)).toMatchObject({
      method: 'POST',
      url: '/in?x=1',
      body: 'hi',
      headers: { 'x-a': '1', host: `127.0.0.1:${receiver.port}` },
    })
  })

  test('that redirects is the answer, and is not followed', async () => {
    const before = receiver.requests.length
    expect(await send(`${receiver.url}/redirect`)).toMatchObject({
      kind: 'answer',
      statusCode: 302,
      headers: { location: '/ok' },
    })
    expect(receiver.requests).toHaveLength(before + 1)
  })

  test('is read up to its cap and no further', async () => {
    const result = await send(`${receiver.url}/large`, { maxBytes: 100 })
    expect(result).toMatchObject({ kind: 'answer', statusCode: 200, isCut: true })
    expect(result.kind === 'answer' && result.body.length).toBe(100)
  })

  test('that drips ends at the deadline for the whole, however steadily it drips', async () => {
    const startedAt = performance.now()
    const result = await send(`${receiver.url}/drip`, { timeoutMs: 600 })
    const tookMs = performance.now() - startedAt
    expect(result).toEqual({ kind: 'timeout', reason: 'the answer did not end within 0.6 s' })
    expect(tookMs).toBeGreaterThan(550)
    expect(tookMs).toBeLessThan(1500)
  })

  test('that never comes is a timeout', async () => {
    const result = await send(`${receiver.url}/hang`, { timeoutMs: 100 })
    expect(result).toEqual({ kind: 'timeout', reason: 'no answer within 0.1 s' })
  })

  test.each([
    ['is not HTTP', 'SSH-2.0-OpenSSH\r\n\r\n', /not HTTP/],
    ['has headers without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, /too large/],
    [
      'ends before its length',
      'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort',
      /closed|failed/,
    ],
  ])('that %s is a failure that says so', async (_, words, reason) => {
    const result = await send(await openRaw(words))
    expect(result).toMatchObject({ kind: 'failed', reason: expect.stringMatching(reason) })
  })
})

describe('an answer that is encoded unasked', () => {
  test('is not decoded: its cap counts what came, and it says what it is', async () => {
    const result = await send(`${receiver.url}/bomb`, { maxBytes: 16_384 })
    expect(result).toMatchObject({ kind: 'answer', statusCode: 200, encoding: 'gzip' })
    expect(result.kind === 'answer' && result.body.length).toBeLessThanOrEqual(16_384)
    expect(receiver.requests.at(-1)?.headers['accept-encoding']).toBe('identity')
    expect(await send(`${receiver.url}/ok`)).toMatchObject({ encoding: null })
  })
})

describe('a connection', () => {
  test('that is refused says so', async () => {
    const gone = await openReceiver()
    await gone[Symbol.asyncDispose]()
    expect(await send(`${gone.url}/`)).toEqual({
      kind: 'failed',
      reason: 'connection refused: nothing listens there',
    })
  })

  test.each([
    ['/reset', /connection (reset|closed) before an answer/],
    ['/close', /connection (reset|closed) before an answer/],
  ])('that ends at %s says so', async (path, reason) => {
    const result = await send(`${receiver.url}${path}`)
    expect(result).toMatchObject({ kind: 'failed', reason: expect.stringMatching(reason) })
  })

  test('is given up when we stop, and before it begins when we have stopped', async () => {
    const stopping = new AbortController()
    const running = send(`${receiver.url}/hang`, { signal: stopping.signal })
    stopping.abort()
    expect(await running).toMatchObject({ kind: 'interrupted' })
    const before = receiver.requests.length
    const late = await send(`${receiver.url}/ok`, { signal: AbortSignal.abort() })
    expect(late).toMatchObject({ kind: 'interrupted' })
    expect(await send(`${receiver.url}/after`)).toMatchObject({ kind: 'answer' })
    expect(receiver.requests.slice(before).map(({ url }) => url)).not.toContain('/ok')
  })

  test('that finds no free socket in time is interrupted: the wait is not the endpoint’s doing', async () => {
    const narrow = open({ connectionsPerOrigin: 1 })
    const first = send(`${receiver.url}/hang`, { timeoutMs: 400 }, narrow)
    const second = await send(`${receiver.url}/ok`, { timeoutMs: 100 }, narrow)
    expect(second).toEqual({
      kind: 'interrupted',
      reason: 'no socket to this host became free in time',
    })
    expect(await first).toMatchObject({ kind: 'timeout' })
  })
})

describe('the guard', () => {
  const strict = (answers: Record<string, string[]> = {}) =>
    open({
      allow: parseAllowList([]),
      resolve: (name) => Promise.resolve(answers[name] ?? []),
    })

  test.each(['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '10.0.0.1', '169.254.169.254'])(
    'blocks the literal %s although the URL was not judged',
    async (host) => {
      const before = receiver.requests.length
      expect(await send(`http://${host}:${receiver.port}/`, {}, strict())).toMatchObject({
        kind: 'blocked',
      })
      expect(receiver.requests).toHaveLength(before)
    },
  )

  test('blocks a name that resolves to an address that is not public, and does not say which', async () => {
    const by = strict({ 'rebind.example.com': ['127.0.0.1'] })
    const result = await send(`http://rebind.example.com:${receiver.port}/`, {}, by)
    expect(result).toMatchObject({ kind: 'blocked' })
    expect(JSON.stringify(result)).not.toContain('127.0.0.1')
  })

  test('blocks a name with one bad record among good ones', async () => {
    const by = strict({ 'mixed.example.com': ['1.1.1.1', '10.0.0.1'] })
    expect(await send('http://mixed.example.com/', {}, by)).toMatchObject({ kind: 'blocked' })
  })

  test('dials the address it judged, with the name as host', async () => {
    const by = open({
      allow: parseAllowList(['127.0.0.0/8']),
      resolve: () => Promise.resolve(['127.0.0.1']),
    })
    const result = await send(`http://hooks.example.com:${receiver.port}/named`, {}, by)
    expect(result).toMatchObject({ kind: 'answer', statusCode: 200 })
    expect(receiver.requests.at(-1)?.headers.host).toBe(`hooks.example.com:${receiver.port}`)
  })

  test('dials the next address of a name where the one before cannot be reached, and judges all of them first', async () => {
    const dialled: string[] = []
    const dial: Dial = ({ hostname, port }, callback) => {
      dialled.push(hostname)
      const socket = connect(Number(port), hostname, () => callback(null, socket))
      socket.once('error', (error) => callback(error, null))
    }
    const by = (...addresses: string[]) =>
      open({
        allow: parseAllowList(['127.0.0.0/8']),
        resolve: () => Promise.resolve(addresses),
        dial,
      })
    const url = `http://many.example.com:${receiver.port}/next`
    const before = receiver.requests.length
    expect(await send(url, {}, by('127.0.0.2', '127.0.0.3', '127.0.0.1'))).toMatchObject({
      kind: 'answer',
    })
    expect(dialled).toEqual(['127.0.0.2', '127.0.0.3', '127.0.0.1'])
    expect(receiver.requests).toHaveLength(before + 1)

    dialled.length = 0
    const none = ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.1']
    expect(await send(url, {}, by(...none))).toMatchObject({
      kind: 'failed',
      reason: 'connection refused: nothing listens there',
    })
    expect(dialled).toEqual(none.slice(0, 3))

    dialled.length = 0
    expect(await send(url, {}, by('127.0.0.2', '10.0.0.1'))).toMatchObject({ kind: 'blocked' })
    expect(dialled).toEqual([])
  })

  test('dials no other address where one has answered, however badly', async () => {
    const dialled: string[] = []
    const by = open({
      allow: parseAllowList(['127.0.0.0/8']),
      resolve: () => Promise.resolve(['127.0.0.1', '127.0.0.2']),
      dial: ({ hostname }, callback) => {
        dialled.push(hostname)
        callback(Object.assign(new Error('reset'), { code: 'ECONNRESET' }), null)
      },
    })
    expect(await send('http://many.example.com/', {}, by)).toMatchObject({
      kind: 'failed',
      reason: 'connection reset before an answer',
    })
    expect(dialled).toEqual(['127.0.0.1'])
  })

  test('blocks a record that is no address', async () => {
    const by = strict({ 'odd.example.com': ['not-an-ip'] })
    expect(await send('http://odd.example.com/', {}, by)).toMatchObject({ kind: 'blocked' })
  })

  test('blocks an address of this machine itself, as a literal and behind a name', async () => {
    const by = open({
      allow: parseAllowList(['192.168.7.0/24']),
      isOwnAddress: (address) => address === '1.1.1.1' || address === '192.168.7.1',
      resolve: () => Promise.resolve(['1.1.1.1']),
      dial: (_, callback) => callback(new Error('dialled'), null),
    })
    const judge = (url: string) => by.judge(url, { ...ORG, network: 'public' })
    expect(judge('https://1.1.1.1/')).toEqual({
      isAllowed: false,
      reason: 'points to an address that is not public',
    })
    expect(await send('http://me.example.com/', {}, by)).toMatchObject({ kind: 'blocked' })
    expect(judge('https://1.0.0.1/').isAllowed).toBe(true)
    // What the operator lists may be this machine.
    expect(judge('https://192.168.7.1/').isAllowed).toBe(true)
  })

  test('looks at the other end once more when it is connected', async () => {
    // A network that leads a public address to this machine.
    const dial: Dial = (_, callback) => {
      const socket = connect(receiver.port, '127.0.0.1', () => callback(null, socket))
    }
    const reach = makeReach({
      allow: parseAllowList([]),
      allowInternal: parseAllowList([]),
      deny: parseAllowList([]),
      isOwnAddress: () => false,
    })
    const resolve = () => Promise.resolve(['93.184.216.34'])
    const guarded = makeGuardedConnector({ reach: reach.public, resolve, dial, isDirect: true })
    const target = { hostname: 'hooks.example.com', protocol: 'http:', port: '80' }
    const error = await new Promise((done) => {
      guarded(target, (...[problem]) => done(problem))
    })
    expect(error).toBeInstanceOf(BlockedError)
  })

  test('denies what EGRESS_DENY lists, whatever else lists it', async () => {
    const by = open({
      allow: parseAllowList(['127.0.0.1', 'localhost']),
      deny: parseAllowList(['127.0.0.0/8', '2606:4700::/32']),
    })
    const judge = (url: string) => by.judge(url, { ...ORG, network: 'public' }).isAllowed
    expect(judge('https://[2606:4700::1111]/')).toBe(false)
    expect(judge('https://127.0.0.2/')).toBe(false)
    expect(await send(`http://127.0.0.1:${receiver.port}/`, {}, by)).toMatchObject({
      kind: 'blocked',
    })
    expect(await send(`http://localhost:${receiver.port}/`, {}, by)).toMatchObject({
      kind: 'blocked',
    })
  })

  test('dials a name that the operator lists at whatever address, on its port alone', async () => {
    const by = open({ allow: parseAllowList([`localhost:${receiver.port}`]) })
    const judge = (url: string) => by.judge(url, { ...ORG, network: 'public' }).isAllowed
    expect(judge(`http://localhost:${receiver.port}/`)).toBe(true)
    expect(judge('http://localhost/')).toBe(false)
    expect(judge(`http://127.0.0.1:${receiver.port}/`)).toBe(false)
    const answered = await send(`http://localhost:${receiver.port}/listed`, {}, by)
    expect(answered).toMatchObject({ kind: 'answer' })
    expect(await send(`http://localhost:${receiver.port + 1}/`, {}, by)).toMatchObject({
      kind: 'blocked',
    })
  })

  test('lets internal services be what the operator lists and nothing else', () => {
    const by = open({
      allow: parseAllowList(['10.1.0.0/16']),
      allowInternal: parseAllowList(['billing:8080', '10.2.0.0/16']),
      internalOrgs: ['acme'],
    })
    const judge = (url: string, network: 'public' | 'internal', orgId = 'acme') =>
      by.judge(url, { orgId, network, domains: null }).isAllowed
    const urls = ['http://billing:8080/', 'http://10.2.0.1/', 'http://10.1.0.1/', 'http://1.1.1.1/']
    expect(urls.map((url) => judge(url, 'internal'))).toEqual([true, true, true, false])
    expect(urls.map((url) => judge(url, 'public'))).toEqual([false, false, true, true])
    expect(urls.map((url) => judge(url, 'internal', 'other'))).toEqual([false, false, false, false])
    expect(urls.map((url) => judge(url, 'public', 'other'))).toEqual([false, false, true, true])
    expect(judge('http://billing:8081/', 'internal')).toBe(false)
  })

  test('lets internal addresses be reached by the internal network only', async () => {
    const by = open({ allow: parseAllowList([]), allowInternal: parseAllowList(['127.0.0.0/8']) })
    const verdict = by.judge(`${receiver.url}/internal`, { ...ORG, network: 'internal' })
    expect(verdict.isAllowed).toBe(true)
    expect(by.judge(`${receiver.url}/internal`, { ...ORG, network: 'public' }).isAllowed).toBe(
      false,
    )
    if (!verdict.isAllowed) return
    const request = { method: 'GET', headers: [], body: null, timeoutMs: 5000, maxBytes: 10 }
    expect(await by.send(verdict.target, 'internal', request)).toMatchObject({ kind: 'answer' })
    expect(await by.send(verdict.target, 'public', request)).toMatchObject({ kind: 'blocked' })
  })

  test('a name without any address reaches nothing, not even the local host', async () => {
    const before = receiver.requests.length
    const by = strict({ 'none.example.com': [] })
    const url = `http://none.example.com:${receiver.port}/`
    const result = await send(url, { timeoutMs: 1000 }, by)
    expect(result.kind).not.toBe('answer')
    expect(receiver.requests).toHaveLength(before)
  })
})
