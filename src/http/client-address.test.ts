import { describe, expect, test } from 'vitest'
import { clientAddress, makeIsTrusted } from './client-address.ts'

const isTrusted = makeIsTrusted(['10.0.0.0/8', '192.0.2.7', 'fd00::/8'])

describe(makeIsTrusted, () => {
  test.each([
    ['10.1.2.3', true],
    ['192.0.2.7', true],
    ['192.0.2.8', false],
    ['fd00::1', true],
    ['2001:db8::1', false],
    ['::ffff:10.1.2.3', true],
    ['proxy', false],
    ['', false],
  ])('%s: %s', (address, isProxy) => expect(isTrusted(address)).toBe(isProxy))

  test('where nothing is configured nobody is', () => {
    expect(makeIsTrusted([])('127.0.0.1')).toBe(false)
  })
})

describe(clientAddress, () => {
  test.each([
    ['a stranger says something', '198.51.100.1', '203.0.113.9', '198.51.100.1'],
    ['a proxy says nothing', '10.0.0.1', '', '10.0.0.1'],
    ['a proxy names its client', '10.0.0.1', '203.0.113.9', '203.0.113.9'],
    ['a client wrote hops of its own', '10.0.0.1', '1.1.1.1, 203.0.113.9', '203.0.113.9'],
    ['a client claims to be a proxy', '10.0.0.1', '1.1.1.1, 10.0.0.5, 203.0.113.9', '203.0.113.9'],
    ['proxies in a row', '10.0.0.1', '203.0.113.9, 192.0.2.7,10.0.0.2', '203.0.113.9'],
    ['proxies only', '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['with a port', '10.0.0.1', '203.0.113.9:4711', '203.0.113.9'],
    ['IPv6', 'fd00::1', '2001:DB8::1', '2001:db8::1'],
    ['IPv6 in brackets', 'fd00::1', '[2001:db8::1]', '2001:db8::1'],
    ['IPv6 with a port', 'fd00::1', '[2001:db8::1]:443', '2001:db8::1'],
    ['a zone id', 'fd00::1', 'fe80::1%eth0', 'fd00::1'],
    ['IPv4 over IPv6', '::ffff:10.0.0.1', '::ffff:203.0.113.9', '203.0.113.9'],
    ['no address', '10.0.0.1', '203.0.113.9, unknown', '10.0.0.1'],
    ['no address behind a proxy', '10.0.0.1', '203.0.113.9, _hidden, 10.0.0.2', '10.0.0.2'],
    ['an empty hop', '10.0.0.1', '203.0.113.9,', '10.0.0.1'],
    ['octal and decimal forms', '10.0.0.1', '0313.0.113.9', '10.0.0.1'],
    ['a script', '10.0.0.1', '<script>alert(1)</script>', '10.0.0.1'],
    ['thousands of hops', '10.0.0.1', `${'10.0.0.2,'.repeat(9999)}10.0.0.3`, '10.0.0.2'],
  ])('%s', (_, peer, forwardedFor, address) =>
    expect(clientAddress(peer, forwardedFor, isTrusted)).toBe(address),
  )
})
