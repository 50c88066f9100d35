import { Resolver } from 'node:dns/promises'
import { afterAll, expect, test, vi } from 'vitest'
import { openReceiver } from '../fixtures/receiver.ts'
import { openStory, type StoryOrg } from './story.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())
const rawHeaders: string[][] = []
const receiver = stack.use(
  await openReceiver((response) => {
    rawHeaders.push(response.req.rawHeaders)
    response.end('ok')
  }),
)
/** In the operator's network, and not in the allow-list. */
const inside = stack.use(await openReceiver())
const story = stack.use(
  await openStory({ env: { EGRESS_ALLOW: `127.0.0.1:${receiver.port},10.20.0.0/16,fd12::/32` } }),
)
const strict = stack.use(await openStory({ env: { EGRESS_HTTP: 'deny' } }))

const webhooksOf = (org: StoryOrg) => `${org.path}/integrations/${org.integrationId}/webhooks`

test('34. every address that is not public is refused, in every spelling, and the allow-list opens exactly what it lists', async () => {
  const org = await story.addOrg()
  const create = (host: string) =>
    org.call('POST', webhooksOf(org), { url: `https://${host}/`, eventTypes: ['*'] })
  const refused = {
    loopback: [
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f.1',
      '[::1]',
      '0.0.0.0',
      '[::]',
      'localhost',
    ],
    'private networks': ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '[fc00::1]'],
    'carrier-grade NAT': ['100.64.0.1', '100.127.255.255'],
    'link-local': ['169.254.169.254', '[fe80::1]'],
    NAT64: ['[64:ff9b::7f00:1]', '[64:ff9b:1::a00:1]'],
    '6to4 and Teredo': ['[2002:7f00:1::]', '[2001:0:7f00:1::]'],
    'mapped IPv4': ['[::ffff:127.0.0.1]', '[::ffff:a00:1]'],
    'multicast and broadcast': ['224.0.0.1', '[ff02::1]', '255.255.255.255'],
    'beside the allow-list': [
      '10.19.255.255',
      '10.21.0.0',
      `127.0.0.1:${inside.port}`,
      '[fd13::1]',
    ],
  }
  for (const [kind, hosts] of Object.entries(refused)) {
    for (const host of hosts) {
      const { status, body } = await create(host)
      expect({ kind, host, status, path: body.details?.[0].path }).toEqual({
        kind,
        host,
        status: 400,
        path: 'url',
      })
    }
  }
  for (const host of ['10.20.0.0', '10.20.255.255', '[fd12::1]', '1.1.1.1', '[2606:4700::1111]']) {
    expect({ host, status: (await create(host)).status }).toEqual({ host, status: 201 })
  }
})

test('35. a name that leads to a private address when it is dialled is blocked, whatever it led to before', async () => {
  // The name server of somebody else: the one thing here that is not real.
  const answer = vi.spyOn(Resolver.prototype, 'resolve4')
  vi.spyOn(Resolver.prototype, 'resolve6').mockRejectedValue(new Error('no such record'))
  const org = await story.addOrg()
  const url = `http://rebound.example.com:${inside.port}/`
  answer.mockResolvedValue(['93.184.215.14'])
  await org.subscribe(url, { retrySchedule: [0, 0] })
  for (const addresses of [['127.0.0.1'], ['10.0.0.1'], ['93.184.215.14', '169.254.169.254']]) {
    answer.mockResolvedValue(addresses)
    const { id, status } = await org.ended(await org.emit())
    expect(status).toBe('failed')
    const attempts = await org.attempts(id)
    expect(attempts).toMatchObject([{ outcome: 'blocked', statusCode: null }])
    // It does not tell the org what the operator's network looks like.
    for (const address of addresses) expect(attempts[0]?.error).not.toContain(address)
  }
  expect(answer).toHaveBeenCalled()
  expect(inside.requests).toHaveLength(0)
  vi.restoreAllMocks()
})

test('36. plain http is refused, and blocked when it is dialled, unless the operator allows it', async () => {
  const org = await strict.addOrg()
  const json = { url: `http://127.0.0.1:${receiver.port}/`, eventTypes: ['*'] }
  expect(await org.call('POST', webhooksOf(org), json)).toMatchObject({
    status: 400,
    body: { details: [{ path: 'url', message: 'must be https; plain http is not allowed here' }] },
  })
  const webhook = await org.subscribe('https://hooks.example.com/')
  expect((await org.call('PATCH', webhook.path, { url: json.url })).status).toBe(400)
  // As if it had been allowed when it was made.
  await strict.pool.query(
    'update patchbay.webhook_subscriptions set url = $2, revision = revision + 1 where id = $1',
    [webhook.id, json.url],
  )
  const { id } = await org.ended(await org.emit())
  expect(await org.attempts(id)).toMatchObject([{ outcome: 'blocked' }])
  expect(receiver.requests).toHaveLength(0)
  const open = await story.addOrg()
  expect((await open.call('POST', webhooksOf(open), json)).status).toBe(201)
})

test('37. own headers are sent as they are spelled, sensitive ones are masked on read, reserved ones refused', async () => {
  const org = await story.addOrg()
  const headers = { 'X-Tenant-ID': 'Acme 1', Authorization: 'Bearer hunter2', 'x-API-Key': 'k3y' }
  const webhook = await org.subscribe(receiver.url, { headers })
  await org.ended(await org.emit())
  const sent = rawHeaders.at(-1) ?? []
  for (const [name, value] of Object.entries(headers)) {
    expect(sent[sent.indexOf(name) + 1]).toBe(value)
  }
  const shown = await org.call('GET', webhook.path)
  expect(shown.body.webhook.headers).toMatchObject({ 'X-Tenant-ID': 'Acme 1' })
  expect(Object.keys(shown.body.webhook.headers)).toEqual(Object.keys(headers))
  expect(shown.text).not.toMatch(/hunter2|k3y/)
  const reserved = [
    'Host',
    'content-length',
    'Webhook-Signature',
    'X-AI-Chat-Event',
    'X-Forwarded-For',
  ]
  for (const name of reserved) {
    const change = { headers: { [name]: 'x' } }
    expect(await org.call('PATCH', webhook.path, change)).toMatchObject({
      status: 400,
      body: { details: [{ path: `headers.${name}` }] },
    })
  }
})
