import { afterAll, expect, test } from 'vitest'
import { openReceiver } from '../fixtures/receiver.ts'
import { done } from './chat.ts'
import { installProgram } from './inbound.ts'
import { openStory } from './story.ts'

const stack = new AsyncDisposableStack()
const health = stack.use(
  await openReceiver((response, { url }) => response.writeHead(Number(url.slice(1, 4))).end()),
)
const story = stack.use(
  await openStory({ env: { EGRESS_ALLOW: '192.0.2.1', EGRESS_ALLOW_INTERNAL: '127.0.0.1' } }),
)
afterAll(() => stack.disposeAsync())

test.each([
  ['200', true, 'HTTP 200'],
  ['503', false, 'HTTP 503'],
  ['302', false, 'HTTP 302'],
])('verify asks a service of the network whether it is well: %s', async (status, ok, words) => {
  const org = await story.addOrg()
  const config = { healthUrl: `${health.url}/${status}` }
  const { path } = await installProgram(story, org, 'internal-http', config)
  const asked = health.requests.length
  const verified = await done(org.call('POST', `${path}/verify`, {}))
  expect(verified).toEqual({ ok, detail: expect.stringContaining(words) })
  expect(health.requests.slice(asked)).toMatchObject([{ method: 'GET', url: `/${status}` }])
})

test('verify of an app of the internet does not reach into the network, and says so', async () => {
  const org = await story.addOrg()
  const config = { healthUrl: `${health.url}/200` }
  const { path } = await installProgram(story, org, 'generic-webhook', config)
  const asked = health.requests.length
  const { ok, detail } = await done(org.call('POST', `${path}/verify`, {}))
  expect([ok, detail]).toEqual([false, expect.stringContaining('could not be called')])
  expect(health.requests).toHaveLength(asked)
})
