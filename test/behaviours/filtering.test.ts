import { afterAll, expect, test } from 'vitest'
import { until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { openStory } from './story.ts'

const stack = new AsyncDisposableStack()
const story = stack.use(await openStory())
afterAll(() => stack.disposeAsync())
const receiver = stack.use(await openReceiver())

test('21. a subscription gets the types, prefixes or all that it asks for; unknown types pass by grammar', async () => {
  const org = await story.addOrg()
  const wishes = {
    exact: ['order.paid'],
    prefix: ['order.*'],
    several: ['order.paid', 'user.left'],
    all: ['*'],
  }
  for (const [name, eventTypes] of Object.entries(wishes)) {
    await org.subscribe(`${receiver.url}/${name}`, { eventTypes })
  }
  const types = ['order.paid', 'order.line.added', 'orders', 'user.left', 'Never_heard.of_it']
  for (const type of types) await org.emit(type)
  const got = (name: string) =>
    receiver.requests
      .filter(({ url }) => url === `/${name}`)
      .map(({ headers }) => headers['x-ai-chat-event'])
      .sort()
  await until('all have arrived', () => receiver.requests.length === 10)
  expect(got('exact')).toEqual(['order.paid'])
  expect(got('prefix')).toEqual(['order.line.added', 'order.paid'])
  expect(got('several')).toEqual(['order.paid', 'user.left'])
  expect(got('all')).toEqual(types.toSorted())
  const webhooks = `${org.path}/integrations/${org.integrationId}/webhooks`
  for (const wrong of [[], null, ['order..paid'], ['order.*.x'], ['**'], ['']]) {
    const json = { url: receiver.url, eventTypes: wrong }
    const { status, body } = await org.call('POST', webhooks, json)
    expect(status).toBe(400)
    expect(body.details[0].path).toMatch(/^eventTypes/)
  }
})

test('a filter that does not exist is refused, so that nobody takes it for one', async () => {
  const org = await story.addOrg()
  const webhooks = `${org.path}/integrations/${org.integrationId}/webhooks`
  for (const filter of [{ channels: ['a'] }, { filter: { 'data.n': { $gt: 1 } } }]) {
    const json = { url: receiver.url, eventTypes: ['*'], ...filter }
    expect(await org.call('POST', webhooks, json)).toMatchObject({
      status: 400,
      body: { error: 'INVALID_BODY' },
    })
  }
})

test('24. an event that no subscription wants is sent to nobody, and can be seen to be', async () => {
  const org = await story.addOrg()
  const webhook = await org.subscribe(`${receiver.url}/other`, { eventTypes: ['order.paid'] })
  const eventId = await org.emit('user.left')
  await until('it is fanned out', story.isFannedOut)
  const found = await org.call('GET', `${org.path}/events/${eventId}`)
  expect(found.body).toMatchObject({ event: { id: eventId, type: 'user.left' }, deliveries: [] })
  const listed = await org.call('GET', `${org.path}/events?type=user.left`)
  expect(listed.body.events).toMatchObject([{ id: eventId }])
  const why = await org.call('GET', `${org.path}/events/${eventId}/explain?webhookId=${webhook.id}`)
  expect(why.body).toMatchObject({ verdict: 'not_subscribed', deliveryId: null })
  expect(why.body.reason).toMatch(/order\.paid, not to user\.left/)
  expect(receiver.requests.filter(({ url }) => url === '/other')).toHaveLength(0)
})
