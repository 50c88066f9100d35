import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { openProxy } from '../fixtures/proxy.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { openStory } from './story.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const receiver = stack.use(await openReceiver())
const zipping = stack.use(
  await openReceiver((response) => {
    response.writeHead(500, { 'content-encoding': 'gzip' }).end(gzipSync('x'.repeat(100_000)))
  }),
)
const proxy = stack.use(await openProxy({ port: receiver.port }))
const story = stack.use(
  await openStory({ env: { EGRESS_ALLOW: '127.0.0.1,localhost', INTERNAL_HTTP_ORGS: 'nobody' } }),
)
const behindProxy = stack.use(
  await openStory({ env: { EGRESS_PROXY: `http://127.0.0.1:${proxy.port}` } }),
)
const NOT_NAMED = "has a host that the org's allow-list does not name"

const guarded = stack.use(await openStory({ env: { EGRESS_ALLOW: '' }, isWorker: false }))

interface UrlCase {
  readonly url: string
  readonly expect: string
  readonly category: string
}
interface HeaderCase {
  readonly name: string
  readonly value: string | null
  readonly expect: string
  readonly headers?: readonly (readonly [string, string])[]
}
const corpus = (file: string) =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../corpus', file), 'utf8'))

test('every URL and every header of the corpus is answered by the API as it is judged', async () => {
  const org = await guarded.addOrg()
  const path = `${org.path}/integrations/${org.integrationId}/webhooks`
  const create = async (json: object) =>
    (await org.call('POST', path, { url: 'https://example.com/', eventTypes: ['*'], ...json }))
      .status
  // What these names lead to is not known before they are called.
  const isLater = (category: string) => /^(?:dns-|redirect)/.test(category)
  const urls: UrlCase[] = corpus('ssrf.json')
  for (const { url, expect: expected, category } of urls) {
    const status = expected === 'allow' || isLater(category) ? 201 : 400
    expect({ url, status: await create({ url }) }).toEqual({ url, status })
  }
  const headers: HeaderCase[] = corpus('headers.json')
  for (const { name, value, expect: expected, headers: set = [[name, value ?? '']] } of headers) {
    const status = expected === 'allow' ? 201 : 400
    const given = { headers: Object.fromEntries(set) }
    expect({ name, value, status: await create(given) }).toEqual({ name, value, status })
  }
  expect([urls.length, headers.length]).toEqual([145, 48])
})

test('an org that names its hosts calls no others: at save, at send, with tools, from the next try on', async () => {
  const org = await story.addOrg()
  const list = `${org.path}/egress-allow-list`
  const tools = `${org.path}/integrations/${org.integrationId}/tools`
  const url = `http://localhost:${receiver.port}/hook`
  const tool = (name: string) => ({
    name,
    description: 'Calls the receiver.',
    argsSchema: { type: 'object' },
    httpConfig: { method: 'POST', url },
  })
  expect((await org.call('GET', list)).body).toEqual({ domains: null })
  const webhook = await org.subscribe(url)
  expect((await org.call('POST', tools, tool('hook.call'))).status).toBe(201)
  expect(await org.ended(await org.emit())).toMatchObject({ status: 'delivered' })
  const before = receiver.requests.length

  const narrowed = await org.call('PUT', list, { domains: ['*.example.com'] })
  expect(narrowed).toMatchObject({ status: 200, body: { domains: ['*.example.com'] } })
  const refused = await org.ended(await org.emit())
  expect(refused).toMatchObject({ status: 'failed', lastError: `the URL ${NOT_NAMED}` })
  expect(await org.attempts(refused.id)).toMatchObject([{ outcome: 'blocked', statusCode: null }])
  const pinged = await org.call('POST', `${webhook.path}/test`, {})
  expect(await org.ended(pinged.body.eventId)).toMatchObject({ status: 'failed' })
  const run = await org.call('POST', `${org.path}/tools/hook.call/execute`, { args: {} })
  expect(run).toMatchObject({ status: 502, body: { error: 'TOOL_FAILED' } })
  expect(run.body.detail).toContain(NOT_NAMED)
  const more = { url, eventTypes: ['*'] }
  const path = `${org.path}/integrations/${org.integrationId}/webhooks`
  expect(await org.call('POST', path, more)).toMatchObject({
    status: 400,
    body: { details: [{ path: 'url', message: NOT_NAMED }] },
  })
  expect(await org.call('POST', tools, tool('hook.again'))).toMatchObject({
    status: 400,
    body: { details: [{ path: 'httpConfig.url', message: NOT_NAMED }] },
  })
  expect((await org.call('PATCH', webhook.path, { isActive: false })).status).toBe(200)
  expect((await org.call('PATCH', webhook.path, { isActive: true })).status).toBe(400)
  expect(receiver.requests).toHaveLength(before)

  await org.call('PUT', list, { domains: ['localhost'] })
  expect((await org.call('PATCH', webhook.path, { isActive: true })).status).toBe(200)
  expect(await org.ended(await org.emit())).toMatchObject({ status: 'delivered' })
  // It narrows what the operator allows and widens nothing.
  await org.call('PUT', list, { domains: ['db.internal', 'localhost'] })
  expect((await org.call('POST', path, { ...more, url: 'https://db.internal/' })).status).toBe(400)
  const { body } = await org.call('GET', `${org.path}/audit`)
  expect(body.entries).toContainEqual(
    expect.objectContaining({
      action: 'egress_allow_list.changed',
      detail: { domains: ['localhost'] },
    }),
  )
})

test('an org that may use internal services no more sends nothing to them and enables none', async () => {
  const org = await story.addOrg()
  await org.subscribe(`http://127.0.0.1:${receiver.port}/internal`)
  // As if it had been installed when the org was on the list.
  await story.pool.query(
    `update patchbay.org_integrations set provider_key = 'internal-http', revision = revision + 1 where id = $1`,
    [org.integrationId],
  )
  const { id } = await org.ended(await org.emit())
  expect(await org.attempts(id)).toMatchObject([
    { outcome: 'blocked', error: expect.stringContaining("of the operator's network") },
  ])
  expect(receiver.requests.map((request) => request.url)).not.toContain('/internal')
  const integration = `${org.path}/integrations/${org.integrationId}`
  expect((await org.call('PATCH', integration, { isEnabled: false })).status).toBe(200)
  expect((await org.call('PATCH', integration, { isEnabled: true })).status).toBe(403)
})

test('an answer that is encoded unasked stands in the history as what it is', async () => {
  const org = await story.addOrg()
  await org.subscribe(zipping.url)
  const { id } = await org.ended(await org.emit())
  expect(await org.attempts(id)).toMatchObject([
    { outcome: 'failed', statusCode: 500, responseSnippet: '(encoded: gzip)' },
  ])
})

test('what the operator’s proxy cannot do costs no attempt, and is sent when it can', async () => {
  const org = await behindProxy.addOrg()
  await org.subscribe(`http://127.0.0.1:${receiver.port}/proxied`)
  proxy.answer = { status: 407, headers: { 'proxy-authenticate': 'Basic realm="x"' } }
  const eventId = await org.emit()
  const [owed] = await org.deliveries(eventId)
  const id = owed?.id ?? ''
  await expect
    .poll(() => org.attempts(id), { timeout: 20_000 })
    .toMatchObject([{ outcome: 'interrupted', error: "the operator's proxy answers 407" }])
  proxy.answer = { port: receiver.port }
  await behindProxy.makeDue(id)
  expect(await org.ended(eventId)).toMatchObject({ status: 'delivered', attempts: 1 })
  expect(proxy.wishes.at(-1)?.authority).toBe(`127.0.0.1:${receiver.port}`)
  expect(receiver.requests.at(-1)?.url).toBe('/proxied')
})
