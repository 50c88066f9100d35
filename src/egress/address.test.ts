import { describe, expect, test } from 'vitest'
import { isPublicAddress } from './address.ts'
import { parseAllowList } from './allow-list.ts'

describe(isPublicAddress, () => {
  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '223.255.255.255',
    '168.63.129.15',
    '2606:4700:4700::1111',
    '2a00:1450:4001:800::200e',
    '::ffff:8.8.8.8',
  ])('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true)
  })

  test.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '10.255.255.255',
    '100.64.0.1',
    '100.100.100.200',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.192',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.0.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '168.63.129.16',
  ])('%s is not', (address) => {
    expect(isPublicAddress(address)).toBe(false)
    expect(isPublicAddress(`::ffff:${address}`)).toBe(false)
  })

  test.each([
    ['unspecified', '::'],
    ['loopback', '::1'],
    ['IPv4-compatible', '::127.0.0.1'],
    ['mapped, in hex', '::ffff:7f00:1'],
    ['mapped, spelled out', '0:0:0:0:0:ffff:a00:1'],
    ['NAT64', '64:ff9b::7f00:1'],
    ['NAT64 of a public address', '64:ff9b::8.8.8.8'],
    ['NAT64, local', '64:ff9b:1::a00:1'],
    ['discard-only', '100::1'],
    ['unique local', 'fd00::1'],
    ['unique local of a cloud', 'fd00:ec2::254'],
    ['link-local', 'fe80::1'],
    ['link-local with a zone', 'fe80::1%eth0'],
    ['public with a zone', '2606:4700::1%1'],
    ['site-local', 'fec0::1'],
    ['multicast', 'ff02::1'],
    ['Teredo', '2001:0:7f00:1::'],
    ['ORCHID', '2001:20::1'],
    ['documentation', '2001:db8::1'],
    ['documentation, the newer', '3fff::1'],
    ['6to4 of the loopback', '2002:7f00:1::'],
    ['6to4 of a public address', '2002:808:808::'],
    ['6bone', '3ffe::1'],
    ['SRv6', '5f00::1'],
  ])('IPv6 %s (%s) is not', (_, address) => {
    expect(isPublicAddress(address)).toBe(false)
  })

  test.each([
    '',
    'localhost',
    '2130706433',
    '0x7f000001',
    '127.1',
    '0177.0.0.1',
    '1.1.1.1 ',
    '[::1]',
    '8.8.8.8/32',
  ])('%j is no address, so not public', (text) => {
    expect(isPublicAddress(text)).toBe(false)
  })
})

describe(parseAllowList, () => {
  const list = parseAllowList([
    '10.1.0.0/16',
    'fd00::/8',
    '192.168.0.5',
    'DB.Internal',
    'api:8080',
    '[::1]:9000',
  ])

  test.each([
    ['10.1.2.3', 80, true],
    ['10.2.0.1', 80, false],
    ['fd12::1', 80, true],
    ['fe80::1', 80, false],
    ['192.168.0.5', 1234, true],
    ['192.168.0.6', 1234, false],
    ['::1', 9000, true],
    ['::1', 9001, false],
  ])('has the address %s with port %i: %s', (address, port, isListed) => {
    expect(list.hasAddress(address, port)).toBe(isListed)
  })

  test.each([
    ['db.internal', 5432, true],
    ['x.db.internal', 5432, false],
    ['api', 8080, true],
    ['api', 80, false],
    ['10.1.2.3', 80, false],
  ])('has the host %s with port %i: %s', (host, port, isListed) => {
    expect(list.hasHost(host, port)).toBe(isListed)
  })

  test.each([
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0/8',
    'fd00::/129',
    'a/b',
    'http://x',
    'a b',
    'x:99999',
    'x:',
    '*',
    '10.0.0.0/8/8',
    'fe80::%eth0/64',
    'fe80::1%eth0',
    '2130706433',
    '0x7f.1',
    'x:0',
  ])('%j is refused by name', (item) => {
    expect(() => parseAllowList(['10.0.0.0/8', item])).toThrow(`"${item}"`)
  })

  test('an empty list has nothing', () => {
    expect(parseAllowList([]).hasAddress('127.0.0.1', 80)).toBe(false)
  })
})
