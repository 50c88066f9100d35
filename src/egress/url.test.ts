import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import { parseAllowList } from './allow-list.ts'
import { makeReach } from './reach.ts'
import { BAD_PORTS, judgeUrl } from './url.ts'

const judge = (url: string, allow: string[] = [], isHttpAllowed = false) => {
  const none = parseAllowList([])
  const lists = { allow: parseAllowList(allow), allowInternal: none, deny: none }
  const reach = makeReach({ ...lists, isOwnAddress: () => false })
  return judgeUrl(url, { isHttpAllowed, reach: reach.public, domains: null })
}
const reasonOf = (url: string, allow: string[] = [], isHttpAllowed = false) => {
  const verdict = judge(url, allow, isHttpAllowed)
  return verdict.isAllowed ? null : verdict.reason
}

test('an allowed URL comes with where it goes', () => {
  expect(judge('https://Hooks.Example.com./a/../in?x=1')).toEqual({
    isAllowed: true,
    target: {
      href: 'https://hooks.example.com./in?x=1',
      origin: 'https://hooks.example.com.',
      path: '/in?x=1',
      host: 'hooks.example.com',
      port: 443,
    },
  })
})

test.each([
  'https://1.1.1.1/',
  'https://[2606:4700:4700::1111]/',
  'https://a.example.com:8443/',
  'https://a.example.com:80/',
])('%s is allowed', (url) => {
  expect(reasonOf(url)).toBeNull()
})

describe('spellings of addresses that are not public', () => {
  test.each([
    ['dotted', 'https://127.0.0.1/'],
    ['with a dot at its end', 'https://127.0.0.1./'],
    ['decimal', 'https://2130706433/'],
    ['hex', 'https://0x7f000001/'],
    ['hex, dotted', 'https://0x7f.0x0.0x0.0x1/'],
    ['octal', 'https://0177.0.0.1/'],
    ['octal, whole', 'https://017700000001/'],
    ['short', 'https://127.1/'],
    ['shorter', 'https://0/'],
    ['mixed', 'https://0x7f.1/'],
    ['metadata, decimal', 'https://2852039166/'],
    ['IPv6 loopback', 'https://[::1]/'],
    ['IPv6 unspecified', 'https://[::]/'],
    ['mapped', 'https://[::ffff:127.0.0.1]/'],
    ['mapped, hex', 'https://[::ffff:7f00:1]/'],
    ['compatible', 'https://[::127.0.0.1]/'],
    ['NAT64', 'https://[64:ff9b::127.0.0.1]/'],
    ['6to4', 'https://[2002:7f00:1::]/'],
    ['unique local', 'https://[fd00:ec2::254]/'],
    ['private', 'https://10.0.0.1/'],
    ['link-local', 'https://169.254.169.254/latest/meta-data/'],
  ])('%s: %s', (_, url) => {
    expect(reasonOf(url)).toBe('points to an address that is not public')
  })

  test.each([
    ['full-width digits', 'https://１２７.0.0.1/'],
    ['circled digits', 'https://①②⑦.0.0.1/'],
    ['an ideographic dot', 'https://127。0。0。1/'],
    ['percent-encoded', 'https://%31%32%37.0.0.1/'],
    ['a zone id', 'https://[fe80::1%25eth0]/'],
    ['a bare zone id', 'https://[::1%lo]/'],
    ['a number too large', 'https://4294967297/'],
    ['five parts', 'https://1.2.3.4.5/'],
    ['an octal digit that is none', 'https://0189.0.0.1/'],
  ])('%s are refused: %s', (_, url) => {
    expect(reasonOf(url)).not.toBeNull()
  })
})

describe('what a lenient parser would let through', () => {
  test.each([
    ['a user name', 'https://user@example.com/'],
    ['a password', 'https://user:pass@example.com/'],
    ['a host before an at sign', 'https://example.com@127.0.0.1/'],
    ['an empty user', 'https://@example.com/'],
    ['a backslash', 'https://example.com\\@127.0.0.1/'],
    ['a space', 'https://example.com/ x'],
    ['a space before', ' https://example.com/'],
    ['a tab', 'https://exa\tmple.com/'],
    ['a line break', 'https://example.com/\r\nx: y'],
    ['a null', 'https://example.com/\u0000'],
    ['no slashes', 'https:example.com'],
    ['one slash', 'https:/example.com'],
    ['three slashes', 'https:///example.com'],
    ['no scheme', '//example.com/'],
    ['no host', 'https://'],
    ['a fragment', 'https://example.com/#x'],
    ['too many characters', `https://example.com/${'x'.repeat(2048)}`],
    ['nothing', ''],
    ['two dots', 'https://a..example.com/'],
    ['two dots at its end', 'https://db.internal../'],
    ['a dot at its beginning', 'https://.example.com/'],
    ['an empty fragment', 'https://example.com/#'],
    ['port 0', 'https://example.com:0/'],
    ['the path of a socket', 'http://unix:/var/run/docker.sock:/x'],
    ['a label of 64', `https://${'a'.repeat(64)}.example.com/`],
    ['a name of 254', `https://${'a.'.repeat(125)}aaaa/`],
    ['a label that begins with a hyphen', 'https://-a.example.com/'],
    ['a list for a host', 'https://a.example.com,b.example.com/'],
    ['a wildcard for a host', 'https://*.example.com/'],
    ['braces in its host', 'https://{a}.example.com/'],
    ['more characters when it is parsed', `https://example.com/${'"'.repeat(1000)}`],
  ])('%s: %j', (_, url) => {
    expect(reasonOf(url)).not.toBeNull()
  })

  test.each([
    'ftp://example.com/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'data:text/html,x',
    'gopher://example.com/',
    'ws://example.com/',
  ])('the scheme of %s', (url) => {
    expect(reasonOf(url)).not.toBeNull()
  })
})

test.each([
  'localhost',
  'db',
  'a.localhost',
  'a.local',
  'db.internal',
  'metadata.google.internal',
  'x.svc.cluster.local',
  'printer.lan',
  'a.home.arpa',
  'a.test',
  '1.0.0.127.in-addr.arpa',
  'DB.INTERNAL',
  'db.internal.',
])('the name %s is not public', (host) => {
  expect(reasonOf(`https://${host}/`)).not.toBeNull()
})

test('the ports that browsers refuse are refused', () => {
  const load = createRequire(import.meta.url)
  const { badPorts } = load('undici/lib/web/fetch/constants.js')
  expect([...BAD_PORTS].map(String)).toEqual(
    badPorts.filter((port: string) => Number(port) >= 1024),
  )
})

test.each([
  'https://Example.com.:8443/a/../b%20c?d="e"',
  'https://0x8.8.8.8/',
  'https://[2606:4700:0:0::1111]/',
])('%s as it is kept is judged as it was given', (url) => {
  const verdict = judge(url)
  expect(verdict.isAllowed && judge(verdict.target.href)).toEqual(verdict)
})

describe('the list of an org', () => {
  const judgeBy = (url: string, domains: string[], allow: string[] = []) => {
    const none = parseAllowList([])
    const lists = { allow: parseAllowList(allow), allowInternal: none, deny: none }
    const reach = makeReach({ ...lists, isOwnAddress: () => false })
    return judgeUrl(url, { isHttpAllowed: false, reach: reach.public, domains }).isAllowed
  }

  test.each([
    ['https://Example.COM./', ['example.com'], true],
    ['https://a.example.com:8443/', ['*.example.com'], true],
    ['https://example.com.evil.net/', ['example.com', '*.example.com'], false],
    ['https://evil-example.com/', ['*.example.com'], false],
    ['https://example.com@evil.net/', ['example.com'], false],
    ['https://evil.net/?https://example.com/', ['example.com'], false],
    ['https://8.8.8.8/', ['*.example.com', '8.8.8.8.example.com'], false],
    ['https://example.com/', [], false],
  ])('%s by %j: %s', (url, domains, isAllowed) => {
    expect(judgeBy(url, domains)).toBe(isAllowed)
  })

  test('narrows what the operator allows, and does not widen it', () => {
    expect(judgeBy('https://db.internal/', ['db.internal'])).toBe(false)
    expect(judgeBy('https://db.internal/', ['db.internal'], ['db.internal'])).toBe(true)
    expect(judgeBy('https://db.internal/', ['example.com'], ['db.internal'])).toBe(false)
  })
})

test.each([22, 25, 53, 81, 110, 445, 1023, 2049, 5060, 6000, 6667, 10080])(
  'port %i is not for HTTP',
  (port) => {
    expect(reasonOf(`https://example.com:${port}/`)).toBe(`port ${port} is not for HTTP`)
  },
)

describe('plain http', () => {
  test('is refused unless the operator allows it', () => {
    expect(reasonOf('http://example.com/')).toMatch(/must be https/)
    expect(reasonOf('http://example.com/', [], true)).toBeNull()
  })

  test('is not allowed by an allow-list', () => {
    expect(reasonOf('http://db.internal/', ['db.internal'])).toMatch(/must be https/)
  })
})

describe('an allow-list', () => {
  test.each([
    ['https://db.internal:5432/', ['db.internal']],
    ['https://db.internal:5432/', ['db.internal:5432']],
    ['https://localhost:22/', ['localhost']],
    ['https://127.0.0.1:8080/', ['127.0.0.0/8']],
    ['https://2130706433/', ['127.0.0.1']],
    ['https://[::1]/', ['::1']],
    ['https://[::1]:9000/', ['[::1]:9000']],
    ['https://[::ffff:10.0.0.1]/', ['10.0.0.0/8']],
    ['https://[::1]/', ['0:0::1']],
    ['https://db.internal/', ['DB.internal.']],
  ])('lets %s through by %j', (url, allow) => {
    expect(reasonOf(url, allow)).toBeNull()
  })

  test.each([
    ['https://db.internal:5433/', ['db.internal:5432']],
    ['https://x.db.internal/', ['db.internal']],
    ['https://127.0.0.1:22/', ['127.0.0.0/8']],
    ['https://user@db.internal/', ['db.internal']],
    ['https://10.0.0.1/', ['127.0.0.0/8']],
    ['https://db.internal:0/', ['db.internal']],
  ])('does not let %s through by %j', (url, allow) => {
    expect(reasonOf(url, allow)).not.toBeNull()
  })
})
