import { createSocket } from 'node:dgram'

/** What a name gets: an address, an error code of DNS, or silence. */
export type DnsAnswer = string | 'NXDOMAIN' | 'SERVFAIL' | 'silence'

const CODES: Readonly<Record<string, number>> = { SERVFAIL: 2, NXDOMAIN: 3 }
const TYPE_A = 1
const TTL_S = 0

export interface DnsServer extends AsyncDisposable {
  readonly address: string
}

/** A name server on loopback that knows what it is told, and answers nothing else. */
export async function openDnsServer(answerFor: (name: string) => DnsAnswer): Promise<DnsServer> {
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    const { name, type, end } = parseQuestion(query)
    const answer = answerFor(name)
    if (answer === 'silence') return
    socket.send(toResponse(query.subarray(0, end), type, answer), from.port, from.address)
  })
  await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done))
  return {
    address: `127.0.0.1:${socket.address().port}`,
    [Symbol.asyncDispose]: () => new Promise((done) => socket.close(done)),
  }
}

function parseQuestion(query: Buffer) {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('ascii', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function toResponse(question: Buffer, type: number, answer: DnsAnswer): Buffer {
  const hasAddress = type === TYPE_A && !(answer in CODES)
  const head = Buffer.from(question)
  head.writeUInt16BE(0x8180 | (CODES[answer] ?? 0), 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(hasAddress ? 1 : 0, 6)
  head.writeUInt32BE(0, 8)
  if (!hasAddress) return head
  // A pointer to the name in the question, then type, class, time to live, length and the address.
  const record = Buffer.from([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, TTL_S, 0, 4])
  return Buffer.concat([head, record, Buffer.from(answer.split('.').map(Number))])
}
