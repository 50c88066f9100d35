import { expect, test } from 'vitest'
import { parseAllowList } from './allow-list.ts'
import { openEgress } from './egress.ts'

const DENY = ['93.184.216.34', '2606:2800:220:1::5', 'bad.com', 'worse.com:443']
test.each([
  'https://93.184.216.34/',
  'https://[::ffff:93.184.216.34]/',
  'https://[2606:2800:220:1::5]/',
  'https://bad.com/',
  'https://BAD.com./',
  'https://worse.com/',
])('EGRESS_DENY holds for %s', async (url) => {
  await using egress = openEgress({
    isHttpAllowed: false,
    allow: parseAllowList([]),
    allowInternal: parseAllowList([]),
    deny: parseAllowList(DENY),
  })
  const verdict = egress.judge(url, { orgId: 'a', network: 'public', domains: null })
  expect(verdict.isAllowed).toBe(false)
})

test('EGRESS_DENY holds for an address that DNS spells as a mapped one', async () => {
  await using egress = openEgress({
    isHttpAllowed: false,
    allow: parseAllowList([]),
    allowInternal: parseAllowList([]),
    deny: parseAllowList(DENY),
    resolve: () => Promise.resolve(['::ffff:93.184.216.34']),
    dial: (_, done) => done(new Error('dialled'), null),
  })
  const verdict = egress.judge('https://good.com/', {
    orgId: 'a',
    network: 'public',
    domains: null,
  })
  if (!verdict.isAllowed) throw new Error(verdict.reason)
  const sent = await egress.send(verdict.target, 'public', {
    method: 'GET',
    headers: [],
    body: null,
    timeoutMs: 1000,
    maxBytes: 1,
  })
  expect(sent.kind).toBe('blocked')
})
