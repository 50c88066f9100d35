import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Writable } from 'node:stream'
import { afterEach, describe, expect, test } from 'vitest'
import { exchangeRaw, parseRaw, type RawAnswer } from '../../test/fixtures/raw-http.ts'
import { makeLog } from '../telemetry/log.ts'
import { listen } from './listen.ts'

type Fetch = Parameters<typeof listen>[2]
type Options = Partial<Parameters<typeof listen>[3]>

interface Line {
  readonly msg: string
}

let closing = new AsyncDisposableStack()
afterEach(async () => {
  await closing.disposeAsync()
  closing = new AsyncDisposableStack()
})

/** Says what it was asked, once it has the whole body. */
const echo: Fetch = async (request) => {
  const body = await request.text().catch(() => '')
  return Response.json({ method: request.method, url: request.url, bytes: body.length })
}

async function start(fetch: Fetch = echo, options: Options = {}) {
  const lines: Line[] = []
  const destination = new Writable({
    write: (chunk, _, done) => {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const log = makeLog('info', destination)
  const server = closing.use(await listen('127.0.0.1', 0, fetch, { log, ...options }))
  return { port: Number(new URL(server.url).port), lines }
}

function open(port: number): Socket {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  closing.defer(() => void socket.destroy())
  return socket
}

/** What comes back until the server closes the connection. */
function receive(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  return new Promise((done) => socket.once('close', () => done(Buffer.concat(chunks).toString())))
}

function expectProblem({ status, headers, body }: RawAnswer, wanted: number, error: string) {
  expect({ status, body }).toMatchObject({ status: wanted })
  expect(headers.get('content-type')).toBe('application/problem+json')
  expect(headers.get('x-content-type-options')).toBe('nosniff')
  expect(headers.get('cache-control')).toBe('no-store')
  expect(headers.get('connection')).toBe('close')
  expect(JSON.parse(body)).toEqual({
    type: 'about:blank',
    title: expect.any(String),
    status: wanted,
    detail: expect.stringMatching(/\.$/),
    instance: '',
    error,
    requestId: headers.get('x-request-id'),
  })
  expect(body).not.toMatch(/HPE_|node:|at .*\d+:\d+/)
}

const POST = 'POST / HTTP/1.1\r\nHost: a\r\n'
const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n'
const CHUNKED = 'Transfer-Encoding: chunked\r\n'
const NO_CHUNKS = '\r\n0\r\n\r\n'

describe('what a proxy in front could read in another way is refused', () => {
  test.each([
    ['a length and chunks', `${POST}Content-Length: 4\r\n${CHUNKED}${NO_CHUNKS}`],
    ['chunks and a length', `${POST}${CHUNKED}Content-Length: 4\r\n${NO_CHUNKS}`],
    ['two lengths', `${POST}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`],
    ['the same length twice', `${POST}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd`],
    ['a list of lengths', `${POST}Content-Length: 4, 4\r\n\r\nabcd`],
    ['a signed length', `${POST}Content-Length: +4\r\n\r\nabcd`],
    ['a hexadecimal length', `${POST}Content-Length: 0x4\r\n\r\nabcd`],
    ['an unknown coding', `${POST}Transfer-Encoding: xchunked\r\n${NO_CHUNKS}`],
    ['a coding before chunked', `${POST}Transfer-Encoding: gzip, chunked\r\n${NO_CHUNKS}`],
    ['a coding after chunked', `${POST}Transfer-Encoding: chunked, identity\r\n${NO_CHUNKS}`],
    ['chunked twice', `${POST}${CHUNKED}${CHUNKED}${NO_CHUNKS}`],
    ['chunks in HTTP/1.0', `POST / HTTP/1.0\r\nHost: a\r\n${CHUNKED}${NO_CHUNKS}`],
    ['a space before the colon', `${POST}Transfer-Encoding : chunked\r\n${NO_CHUNKS}`],
    ['a header that is folded', `${POST}Transfer-Encoding:\r\n chunked\r\n${NO_CHUNKS}`],
    ['lines that end in LF', 'POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n'],
    ['a lone CR in a value', `${GET}X: a\rb\r\n\r\n`],
    ['a NUL in a value', `${GET}X: a\0b\r\n\r\n`],
    ['a lone LF in a chunk extension', `${POST}${CHUNKED}\r\n5;a\nb\r\nhello${NO_CHUNKS}`],
    ['a chunk that is longer than it says', `${POST}${CHUNKED}\r\n5\r\nhelloX${NO_CHUNKS}`],
    ['a negative chunk', `${POST}${CHUNKED}\r\n-5\r\nhello${NO_CHUNKS}`],
    ['two hosts', `${GET}Host: b\r\n\r\n`],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['no host beside a target that has one', 'GET http://b/x HTTP/1.1\r\n\r\n'],
    ['an empty host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
    ['an empty host in HTTP/1.0', 'GET / HTTP/1.0\r\nHost:\r\n\r\n'],
    ['two hosts in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['a target that is none, without a host', 'GET * HTTP/1.0\r\n\r\n'],
    ['a host that is none', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n'],
    ['a host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
    ['a host with a user', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n'],
    ['a target that is none', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['an unknown method', 'BREW / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00\x01'],
    ['something else', 'EHLO there\r\n\r\n'],
  ])('%s', async (_, text) => {
    const { port, lines } = await start()
    expectProblem(await exchangeRaw(port, text), 400, 'INVALID_REQUEST')
    expect(lines).toMatchObject([{ status: 400, error: 'INVALID_REQUEST', address: '127.0.0.1' }])
  })

  test('what follows a refused request on its connection is not answered', async () => {
    const { port, lines } = await start()
    const hidden = `${GET}X-Hidden: 1\r\n\r\n`
    const text = `${POST}Content-Length: 6\r\n${CHUNKED}${NO_CHUNKS}${hidden}`
    const answer = await exchangeRaw(port, text)
    expect(answer.status).toBe(400)
    expect(lines).toHaveLength(1)
  })
})

test('nothing is written into an answer under way, whatever was asked behind it', async () => {
  const stream = new TransformStream<Uint8Array, Uint8Array>()
  const writer = stream.writable.getWriter()
  const { port, lines } = await start((request, env) =>
    request.url.endsWith('/stream') ? new Response(stream.readable) : echo(request, env),
  )
  const socket = open(port)
  const answer = receive(socket)
  socket.write('GET /stream HTTP/1.1\r\nHost: a\r\n\r\n')
  const begun = new Promise((done) => socket.once('data', done))
  await writer.write(Buffer.from('first words'))
  await begun
  socket.write('GET /behind HTTP/1.1\r\nHost: a\r\n\r\nand no request\r\n\r\n')
  const received = await answer
  expect(received.match(/HTTP\/1\.1/g)).toEqual(['HTTP/1.1'])
  expect(received).toMatch(/first words\r\n$/)
  expect(lines).toMatchObject([{ status: 400, error: 'INVALID_REQUEST' }])
})

describe('what is too large', () => {
  test('headers over 16 KiB', async () => {
    const { port } = await start()
    const text = `${GET}X: ${'x'.repeat(16_384)}\r\n\r\n`
    expectProblem(await exchangeRaw(port, text), 431, 'HEADERS_TOO_LARGE')
  })

  test('a hundred headers are taken, one more is not: none is dropped unseen', async () => {
    const { port } = await start()
    const more = (count: number) =>
      Array.from({ length: count }, (_, at) => `X-${at}: 1\r\n`).join('')
    expect((await exchangeRaw(port, `${GET}${more(98)}\r\n`)).status).toBe(200)
    expectProblem(await exchangeRaw(port, `${GET}${more(99)}\r\n`), 431, 'HEADERS_TOO_LARGE')
    expectProblem(await exchangeRaw(port, `${GET}${more(1900)}\r\n`), 431, 'HEADERS_TOO_LARGE')
  })

  test('chunk extensions', async () => {
    const { port } = await start()
    const text = `${POST}${CHUNKED}\r\n5;${'x'.repeat(20_000)}\r\nhello${NO_CHUNKS}`
    expectProblem(await exchangeRaw(port, text), 413, 'PAYLOAD_TOO_LARGE')
  })

  test('more connections than there may be: the next ones are closed, and the log says so once', async () => {
    const { port, lines } = await start(echo, { maxConnections: 1 })
    const first = open(port)
    await new Promise((done) => first.once('connect', done))
    expect(await receive(open(port))).toBe('')
    expect(await receive(open(port))).toBe('')
    expect(lines).toMatchObject([{ level: 'warn', msg: 'connections.dropped' }])
  })
})

describe('who is slow', () => {
  const checkMs = 20

  test.each([
    ['says nothing', ''],
    ['stops in the headers', 'GET / HTTP/1.1\r\nHost'],
  ])('%s: 408', async (_, text) => {
    const timeouts = { headersMs: 60, requestMs: 10_000, checkMs }
    const { port } = await start(echo, { timeouts })
    expectProblem(await exchangeRaw(port, text), 408, 'REQUEST_TIMEOUT')
  })

  test('one who drips headers byte by byte has no more time than others', async () => {
    const { port } = await start(echo, { timeouts: { headersMs: 100, checkMs } })
    const socket = open(port)
    socket.write('GET / HTTP/1.1\r\nX: ')
    const drip = setInterval(() => socket.write('x'), 10)
    const answer = parseRaw(await receive(socket))
    clearInterval(drip)
    expectProblem(answer, 408, 'REQUEST_TIMEOUT')
  })

  test.each([
    ['a body of known length', 'Content-Length: 10\r\n\r\nabc'],
    ['a chunked body', `${CHUNKED}\r\n3\r\nabc\r\n`],
  ])('%s that does not end: 408', async (_, rest) => {
    const { port } = await start(echo, { timeouts: { headersMs: 60, requestMs: 100, checkMs } })
    expectProblem(await exchangeRaw(port, `${POST}${rest}`), 408, 'REQUEST_TIMEOUT')
  })

  test('a connection that is not used again is closed', async () => {
    const { port } = await start(echo, { timeouts: { keepAliveMs: 10, checkMs } })
    const answer = await exchangeRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(answer).toMatchObject({ status: 200 })
  })

  test('one who does not read the answer keeps it no longer than it may', async () => {
    const chunk = new Uint8Array(65_536)
    const canceled = Promise.withResolvers<void>()
    const endless: Fetch = () =>
      new Response(
        new ReadableStream({
          pull: (controller) => controller.enqueue(chunk),
          cancel: () => canceled.resolve(),
        }),
      )
    const { port } = await start(endless, { timeouts: { idleMs: 100, checkMs } })
    open(port).write(`${GET}\r\n`)
    await canceled.promise
  })
})

describe('what is odd, and a request all the same', () => {
  test.each([
    ['an absolute target', 'GET http://b/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 200],
    ['an upgrade that nobody offers', `${GET}Upgrade: websocket\r\n\r\n`, 200],
    ['100-continue without a body', `${GET}Expect: 100-continue\r\n\r\n`, 200],
    ['HTTP/1.0 without a host, as simple probes are', 'GET /healthz HTTP/1.0\r\n\r\n', 200],
    ['TRACE', 'TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 200],
    ['a stray percent sign', 'GET /% HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 200],
  ])('%s', async (_, text, status) => {
    const { port, lines } = await start()
    expect((await exchangeRaw(port, text)).status).toBe(status)
    expect(lines).toEqual([])
  })

  test('CONNECT gets no tunnel', async () => {
    const { port } = await start()
    const socket = open(port)
    socket.write('CONNECT 127.0.0.1:5432 HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(await receive(socket)).toBe('')
  })

  test('an expectation that nobody knows: 417', async () => {
    const { port } = await start()
    const answer = await exchangeRaw(port, `${GET}Expect: magic\r\n\r\n`)
    expectProblem(answer, 417, 'EXPECTATION_FAILED')
  })
})

describe('one who waits for 100 Continue', () => {
  const ask = `${POST}Expect: 100-continue\r\n`
  const length = 'Content-Length: 5\r\n\r\n'
  const whole = (request: Request) => request.text()
  const stream = async ({ body }: Request) => Buffer.concat(await Array.fromAsync(body ?? []))

  test.each([
    ['of known length', length, 'hello', whole],
    ['in chunks', `${CHUNKED}\r\n`, `5\r\nhello${NO_CHUNKS}`, whole],
    ['as a stream', length, 'hello', stream],
  ])('hears it once a body %s is read, and may go on asking', async (_, head, body, read) => {
    const { port } = await start(async (request) => new Response(await read(request)))
    const socket = open(port)
    const answer = receive(socket)
    socket.write(ask + head)
    const [heard] = await once(socket, 'data')
    expect(String(heard)).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    socket.write(`${body}${GET}\r\n`)
    const received = await answer
    expect(received).toContain('\r\n\r\nhello')
    expect(received.match(/(?<=HTTP\/1\.1 )\d+/g)).toEqual(['100', '200', '200'])
  })

  test('does not hear it when the answer needs no body, which then must not follow', async () => {
    const { port } = await start(() => new Response('who are you?', { status: 401 }))
    const answer = await exchangeRaw(port, `${ask}Content-Length: 99999999\r\n\r\n`)
    expect(answer).toMatchObject({ status: 401, body: 'who are you?' })
    expect(answer.headers.get('connection')).toBe('close')
  })
})

test('an app that breaks in its frame tells nothing, and the log has it', async () => {
  const { port, lines } = await start(() => Promise.reject(new Error('password is hunter2')))
  const answer = await exchangeRaw(port, `${GET}\r\n`)
  expectProblem(answer, 500, 'INTERNAL')
  expect(answer.body).not.toContain('hunter2')
  expect(lines).toMatchObject([{ err: { message: 'password is hunter2' } }, { status: 500 }])
})

test('who keeps a connection after its answer does not hold up the end', async () => {
  const held = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  const server = await listen(
    '127.0.0.1',
    0,
    async () => {
      asked.resolve()
      await held.promise
      return new Response('last words')
    },
    { log: makeLog('silent') },
  )
  const socket = open(Number(new URL(server.url).port))
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const answer = receive(socket)
  await asked.promise
  const startedAt = performance.now()
  const ended = server[Symbol.asyncDispose]()
  held.resolve()
  expect(parseRaw(await answer)).toMatchObject({ status: 200, body: 'last words' })
  await ended
  // Five seconds is what those get who are still being answered.
  expect(performance.now() - startedAt).toBeLessThan(4000)
})
