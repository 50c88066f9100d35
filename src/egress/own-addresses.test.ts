import { expect, test } from 'vitest'
import { makeIsOwnAddress } from './own-addresses.ts'

function bound(address: string) {
  const mac = '00:00:00:00:00:00'
  const more = { netmask: '', mac, internal: false, cidr: null }
  return address.includes(':')
    ? { address, family: 'IPv6' as const, scopeid: 0, ...more }
    : { address, family: 'IPv4' as const, ...more }
}

test('an address is own when an interface has it, in whatever spelling', () => {
  const interfaces = () => ({
    lo: [bound('127.0.0.1')],
    eth0: [bound('93.184.216.34'), bound('2606:4700::1'), bound('fe80::1%eth0')],
  })
  const isOwn = makeIsOwnAddress({ interfaces, nowMs: () => 0 })
  const own = ['127.0.0.1', '93.184.216.34', '::ffff:5db8:d822', '2606:4700:0:0::1', 'fe80::1']
  expect(own.map(isOwn)).toEqual(own.map(() => true))
  expect(['93.184.216.35', '::5db8:d822', '2606:4700::2'].map(isOwn)).toEqual([false, false, false])
})

test('the interfaces are looked at again after a while, and not before', () => {
  let now = 0
  let looks = 0
  const addresses = ['1.1.1.1']
  const interfaces = () => {
    looks += 1
    return { eth0: addresses.map(bound) }
  }
  const isOwn = makeIsOwnAddress({ interfaces, nowMs: () => now, keepMs: 1000 })
  expect(isOwn('1.1.1.1')).toBe(true)
  addresses[0] = '2.2.2.2'
  now = 999
  expect([isOwn('1.1.1.1'), looks]).toEqual([true, 1])
  now = 1000
  expect([isOwn('1.1.1.1'), isOwn('2.2.2.2'), looks]).toEqual([false, true, 2])
})
