import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openReceiver } from '../../test/fixtures/receiver.ts'
import { judgeAnswer } from '../core/answer.ts'
import { DENIED_IPV4, DENIED_IPV6, isPublicAddress } from './address.ts'
import { parseAllowList } from './allow-list.ts'
import { openEgress } from './egress.ts'
import { publicNameProblem } from './host-name.ts'

interface Case {
  readonly url: string
  readonly expect: 'allow' | 'block' | 'reject-as-invalid'
  readonly why: string
  readonly category: string
  readonly dns?: readonly string[]
  readonly dns_sequence?: readonly (readonly string[])[]
  readonly redirect_to?: string
  /** Those with it also run in a process that has it: see `environment.test.ts`. */
  readonly env?: Readonly<Record<string, string>>
}

const corpus = join(import.meta.dirname, '../../test/corpus')
const read = (file: string) => JSON.parse(readFileSync(join(corpus, file), 'utf8'))
const cases: Case[] = read('ssrf.json')
const PUBLIC = ['93.184.216.34']

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

let location: string | undefined
/** Where every vetted address leads, whatever it is: a socket that is opened is seen here. */
const receiver = stack.use(
  await openReceiver((response) => {
    response.setHeader('connection', 'close')
    response.writeHead(
      location === undefined ? 200 : 302,
      location === undefined ? {} : { location },
    )
    response.end()
  }),
)

/** Whether a URL can be subscribed to and is then delivered to; and the sockets that were opened for it. */
async function run(given: Case): Promise<{ reached: string; dialled: string[] }> {
  const dialled: string[] = []
  let answer = given.dns ?? PUBLIC
  await using egress = openEgress({
    // What refuses is to be the rule of addresses, not that of schemes.
    isHttpAllowed: true,
    allow: parseAllowList([]),
    allowInternal: parseAllowList([]),
    resolve: async () => [...answer],
    isOwnAddress: () => false,
    dial: ({ hostname }, callback) => {
      dialled.push(hostname)
      const socket = connect(receiver.port, '127.0.0.1', () => callback(null, socket))
    },
  })
  location = given.redirect_to
  const verdict = egress.judge(given.url, { orgId: 'acme', network: 'public', domains: null })
  if (!verdict.isAllowed) return { reached: 'refused at once', dialled }
  let reached = ''
  for (const addresses of given.dns_sequence ?? [answer]) {
    answer = addresses
    const result = await egress.send(verdict.target, 'public', {
      method: 'POST',
      headers: [],
      body: '{}',
      timeoutMs: 5000,
      maxBytes: 1000,
    })
    if (result.kind !== 'answer') {
      expect(JSON.stringify(result)).not.toMatch(/\d+\.\d+\.\d+\.\d+|::/)
      return { reached: result.kind, dialled }
    }
    const { statusCode } = result
    reached = judgeAnswer({ statusCode, retryAfter: undefined, snippet: '' }, 0).kind
  }
  return { reached, dialled }
}

describe('the corpus of URLs', () => {
  test.each(cases)('$expect: $category, $why: $url', async (given) => {
    const before = receiver.requests.length
    const { reached, dialled } = await run(given)
    if (given.expect === 'allow') {
      expect(reached).toBe('delivered')
      expect(dialled).toHaveLength(1)
      return
    }
    expect(reached).toBeOneOf(['refused at once', 'blocked', 'failed'])
    // A redirect is answered and not followed; a name is dialled while it leads to good addresses only.
    const good = given.redirect_to !== undefined ? 1 : (given.dns_sequence?.length ?? 1) - 1
    expect(dialled).toHaveLength(good)
    expect(dialled.every(isPublicAddress)).toBe(true)
    expect(receiver.requests).toHaveLength(before + good)
  })

  test('is all of it', () => {
    const count = (kind: Case['expect']) => cases.filter((given) => given.expect === kind).length
    expect({
      tried: cases.length,
      allow: count('allow'),
      block: count('block'),
      invalid: count('reject-as-invalid'),
    }).toEqual({ tried: 145, allow: 21, block: 78, invalid: 46 })
  })
})

describe('the table of addresses', () => {
  const table: {
    readonly ipv4: readonly (readonly [string, string, string])[]
    readonly ipv6: readonly (readonly [string, string, string])[]
    readonly hostnames: { readonly exact: readonly string[]; readonly suffix: readonly string[] }
  } = read('ip-ranges.json')
  const networks = (rows: readonly (readonly [string, string, string])[]) =>
    rows.map(([network]) => network)
  /** Everything outside 2000::/3 is denied whole. */
  const isGlobalUnicast = (network: string) => /^[23][0-9a-f]{3}:/.test(network)

  test('is the one of the registries, no row more and none less', () => {
    expect(DENIED_IPV4.toSorted()).toEqual(networks(table.ipv4).toSorted())
    expect(DENIED_IPV6.toSorted()).toEqual(networks(table.ipv6).filter(isGlobalUnicast).toSorted())
  })

  test.each([...networks(table.ipv4), ...networks(table.ipv6)])(
    '%s is denied from its first to its last address',
    (network) => {
      const [first, last] = edgesOf(network)
      expect([isPublicAddress(first), isPublicAddress(last)]).toEqual([false, false])
    },
  )

  test.each(networks(table.ipv4))('%s is refused in every spelling of a URL', async (network) => {
    for (const address of edgesOf(network)) {
      for (const host of spellings(address)) {
        const url = `http://${host}/`
        const given = { url, expect: 'block', why: '', category: '' } as const
        expect({ host, ...(await run(given)) }).toEqual({
          host,
          reached: 'refused at once',
          dialled: [],
        })
      }
    }
  })

  test.each(table.hostnames.exact)('the name %s is refused', (name) => {
    expect(publicNameProblem(name)).not.toBeNull()
  })

  test.each(table.hostnames.suffix)('names under %s are refused, and it itself', (suffix) => {
    expect(publicNameProblem(`a.b${suffix}`)).toMatch(/not public/)
    expect(publicNameProblem(suffix.slice(1))).not.toBeNull()
    expect(publicNameProblem(`a${suffix.slice(1)}.com`)).toBeNull()
  })
})

/** First and last address of a CIDR. */
function edgesOf(network: string): [string, string] {
  const [address = '', prefix = ''] = network.split('/')
  const isV6 = address.includes(':')
  const width = isV6 ? 16 : 8
  const groups = isV6 ? groupsOf(address) : address.split('.').map(Number)
  const last = groups.map((group, at) => {
    const free = Math.min(width, Math.max(0, (at + 1) * width - Number(prefix)))
    return group | (2 ** free - 1)
  })
  return [address, isV6 ? last.map((group) => group.toString(16)).join(':') : last.join('.')]
}

function groupsOf(address: string): number[] {
  const [head = '', tail = ''] = address.split('::')
  const parse = (text: string) =>
    text === '' ? [] : text.split(':').map((hex) => Number.parseInt(hex, 16))
  const [before, after] = [parse(head), parse(tail)]
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after]
}

/** What a URL parser takes for an IPv4 address, or carries one. */
function spellings(address: string): string[] {
  const parts = address.split('.').map(Number)
  const [a = 0, b = 0, c = 0, d = 0] = parts
  const whole = parts.reduce((sum, part) => sum * 256 + part, 0)
  const hex = (number: number) => number.toString(16)
  const [high, low] = [hex(a * 256 + b), hex(c * 256 + d)]
  return [
    address,
    `${address}.`,
    String(whole),
    `0x${hex(whole)}`,
    `0X${hex(whole).toUpperCase()}`,
    `0${whole.toString(8)}`,
    parts.map((part) => `0x${hex(part)}`).join('.'),
    parts.map((part) => `0${part.toString(8)}`).join('.'),
    parts.map((part) => `000${part.toString(8)}`).join('.'),
    `${a}.${b}.${c * 256 + d}`,
    `${a}.${b * 65_536 + c * 256 + d}`,
    `0x${hex(a)}.0${b.toString(8)}.${c * 256 + d}`,
    address.replaceAll('.', '\u3002'),
    address.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
    address.replaceAll('.', '%2e'),
    `[::ffff:${address}]`,
    `[::ffff:${high}:${low}]`,
    `[0:0:0:0:0:FFFF:${high}:${low}]`,
    `[::${address}]`,
    `[::ffff:0:${address}]`,
    `[64:ff9b::${address}]`,
    `[64:ff9b:1::${address}]`,
    `[2002:${high}:${low}::]`,
    `[2001:0:${high}:${low}::]`,
    `[fe80::5efe:${address}]`,
    `user@${address}`,
    `example.com@${address}`,
  ]
}
