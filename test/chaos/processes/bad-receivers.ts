import { createServer, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'

/**
 * Receivers that misbehave, a process of its own: each kind listens on a port of its own, because sockets are shared out by
 * host. The ports by kind go to the parent. `net`, not `http`: they break what an HTTP server would not let them break.
 */
const CHUNK = Buffer.alloc(65_536, 'x')
const GIGABYTE = 1_073_741_824
const HEAD = 'HTTP/1.1 200 OK\r\n'

/** `process` of a socket whose request was read. */
type Behaviour = (socket: Socket) => void

const BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  'never answers': () => undefined,
  'slow headers': (socket) => {
    socket.write(HEAD)
    drip(socket, () => 'x', 1000)
  },
  'slow body': (socket) => {
    socket.write(`${HEAD}content-length: 1000\r\n\r\n`)
    drip(socket, () => 'x', 1000)
  },
  'endless 103': (socket) =>
    drip(socket, () => 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n', 100),
  'reset after the request': (socket) => void socket.resetAndDestroy(),
  'closes half-way': (socket) => void socket.end(`${HEAD}content-length: 1000\r\n\r\nhalf`),
  'resets half-way': (socket) => {
    socket.write(`${HEAD}content-length: 1000\r\n\r\nhalf`, () => socket.resetAndDestroy())
  },
  'a gigabyte': (socket) => {
    socket.write(`${HEAD}content-length: ${GIGABYTE}\r\n\r\n`)
    pour(socket, GIGABYTE)
  },
  'a gzip bomb': (socket) => {
    socket.write(`${HEAD}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`)
    socket.end(bomb)
  },
  'garbage headers': (socket) => void socket.end(`${HEAD}\u0000\u0001: \u0002\r\n: : :\r\n\r\nok`),
  '4,000 headers': (socket) => {
    const headers = Array.from({ length: 4000 }, (_, n) => `x-${n}: ${n}\r\n`).join('')
    socket.end(`${HEAD}${headers}content-length: 2\r\n\r\nok`)
  },
  'not HTTP': (socket) => void socket.end('SSH-2.0-OpenSSH_9.6\r\n'),
  'not HTTP at all': (socket) => void socket.end(Buffer.from([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5])),
}

/** A gigabyte of zeros: gzip of gzip-sized members, one after the other, is a gzip too. */
const bomb = Buffer.concat(Array(64).fill(gzipSync(Buffer.alloc(GIGABYTE / 64), { level: 9 })))

function drip(socket: Socket, next: () => string, everyMs: number): void {
  const timer = setInterval(() => socket.write(next()), everyMs)
  socket.on('close', () => clearInterval(timer))
}

function pour(socket: Socket, bytes: number): void {
  let left = bytes
  const more = () => {
    while (left > 0 && !socket.destroyed) {
      left -= CHUNK.length
      if (!socket.write(CHUNK)) {
        socket.once('drain', more)
        return
      }
    }
    socket.end()
  }
  more()
}

/** Waits for the end of the request's body; a keep-alive connection brings several. */
function serve(socket: Socket, behave: Behaviour): void {
  let request = Buffer.alloc(0)
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    request = Buffer.concat([request, chunk])
    const head = request.indexOf('\r\n\r\n')
    if (head === -1) return
    const length = /content-length: (\d+)/i.exec(request.subarray(0, head).toString())?.[1]
    if (request.length < head + 4 + Number(length ?? 0)) return
    request = Buffer.alloc(0)
    behave(socket)
  })
}

const ports: Record<string, number> = {}
for (const [kind, behave] of Object.entries(BEHAVIOURS)) {
  const server = createServer((socket) => serve(socket, behave))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  ports[kind] = typeof address === 'object' && address !== null ? address.port : 0
}
process.on('disconnect', () => process.exit())
process.send?.(ports)
