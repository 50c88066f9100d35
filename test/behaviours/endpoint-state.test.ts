import { afterAll, expect, test } from 'vitest'
import { until } from '../fixtures/process.ts'
import { openReceiver, type Receiver } from '../fixtures/receiver.ts'
import { openStory, type StoryOrg, type Subscribed } from './story.ts'

const stack = new AsyncDisposableStack()
const story = stack.use(await openStory())
afterAll(() => stack.disposeAsync())

/** An endpoint that answers what it is told to, until it is told otherwise. */
async function openEndpoint(status: number) {
  const answer = { status }
  const receiver = stack.use(
    await openReceiver((response) => response.writeHead(answer.status).end()),
  )
  return { receiver, url: receiver.url, answer }
}

const OPERATIONAL = ['webhook.subscription.*']
const idsAt = (receiver: Receiver) => receiver.requests.map(({ headers }) => headers['webhook-id'])
const toldTo = (receiver: Receiver) =>
  receiver.requests.map(({ body }) => ({
    type: JSON.parse(body).type,
    data: JSON.parse(body).data,
  }))

async function healthOf(org: StoryOrg, { path }: Subscribed) {
  return (await org.call('GET', path)).body.webhook.health
}

/** Emits so many events that fail once each, to the one subscription of everything. */
async function failInARow(org: StoryOrg, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    expect(await org.ended(await org.emit())).toMatchObject({ status: 'failed' })
  }
}

/** Moves time: the first of the failures in a row was so long ago. */
async function ageFailures({ id }: Subscribed, interval: string): Promise<void> {
  await story.pool.query(
    `update patchbay.subscription_health set first_failure_at = first_failure_at - $2::interval where subscription_id = $1`,
    [id, interval],
  )
}

/** Moves time: an open circuit may be probed now. */
async function probeNow({ id }: Subscribed): Promise<void> {
  await story.pool.query(
    `update patchbay.subscription_health set open_until = now(), probe_at = now() where subscription_id = $1`,
    [id],
  )
}

test('14. a disabled subscription gets nothing; enabled, it gets what was held and what comes', async () => {
  const org = await story.addOrg()
  const { url, receiver, answer } = await openEndpoint(500)
  const webhook = await org.subscribe(url, { retrySchedule: [600, 600] })
  const owed = await org.emit()
  const { id } = await org.tried(owed, 1)
  await org.call('PATCH', webhook.path, { isActive: false })
  await story.makeDue(id)
  const unwanted = await org.emit()
  await until('the owed one is held', async () =>
    /disabled/.test((await org.delivery(id)).waitsFor ?? ''),
  )
  await until('the other one is fanned out', story.isFannedOut)
  const why = await org.call(
    'GET',
    `${org.path}/events/${unwanted}/explain?webhookId=${webhook.id}`,
  )
  expect(why.body.verdict).toBe('disabled_then')
  expect(receiver.requests).toHaveLength(1)

  answer.status = 200
  await org.call('PATCH', webhook.path, { isActive: true })
  expect(await org.ended(owed)).toMatchObject({ status: 'delivered', attempts: 2 })
  const next = await org.emit()
  await org.ended(next)
  expect(idsAt(receiver)).toEqual([owed, owed, next])
})

test('15. deleting a subscription or its integration cancels what is owed, and the history says so', async () => {
  const { url, receiver } = await openEndpoint(500)
  for (const what of ['subscription', 'integration']) {
    const org = await story.addOrg()
    const webhook = await org.subscribe(url, { retrySchedule: [600] })
    const eventId = await org.emit()
    const { id } = await org.tried(eventId, 1)
    const seen = receiver.requests.length
    const target =
      what === 'subscription' ? webhook.path : `${org.path}/integrations/${org.integrationId}`
    expect((await org.call('DELETE', target)).status).toBe(200)
    await story.makeDue(id)
    expect(await org.delivery(id)).toMatchObject({
      status: 'canceled',
      attempts: 1,
      lastError: `the ${what} was deleted`,
    })
    expect((await org.call('POST', `${org.path}/deliveries/${id}/retry`)).status).toBe(409)
    await org.emit()
    await until('the next event is fanned out, to nobody', story.isFannedOut)
    expect(receiver.requests).toHaveLength(seen)
  }
})

test('16. five days of nothing but failures disable a subscription, and an event tells who listens', async () => {
  const org = await story.addOrg()
  const { url } = await openEndpoint(500)
  const listener = await openEndpoint(200)
  const webhook = await org.subscribe(url, { eventTypes: ['story.*'] })
  await org.subscribe(listener.url, { eventTypes: OPERATIONAL })
  await failInARow(org, 9)
  await ageFailures(webhook, '5 days 1 minute')
  await failInARow(org, 1)
  const { webhook: shown } = (await org.call('GET', webhook.path)).body
  expect(shown).toMatchObject({ isActive: false, health: { state: 'disabled' } })
  expect(shown.disabledReason).toMatch(/5 days.*HTTP 500/)
  await until('both are told', () => listener.receiver.requests.length === 2)
  expect(toldTo(listener.receiver)).toContainEqual({
    type: 'webhook.subscription.disabled',
    data: expect.objectContaining({ webhookId: webhook.id, reason: shown.disabledReason }),
  })
})

test('17. sporadic failures disable nothing: a success clears the clock, few or recent failures are too little', async () => {
  const org = await story.addOrg()
  const { url, answer } = await openEndpoint(500)
  const webhook = await org.subscribe(url)
  await failInARow(org, 9)
  await ageFailures(webhook, '6 days')
  answer.status = 200
  await org.ended(await org.emit())
  expect(await healthOf(org, webhook)).toMatchObject({
    state: 'healthy',
    consecutiveFailures: 0,
    failingSince: null,
  })
  answer.status = 500
  await failInARow(org, 1)
  await ageFailures(webhook, '6 days')
  await failInARow(org, 8)
  // Nine over six days are too few.
  expect(await healthOf(org, webhook)).toMatchObject({ state: 'failing', consecutiveFailures: 9 })
  await ageFailures(webhook, '-6 days')
  await failInARow(org, 1)
  // Ten within five days stop the sending for a while, and no more.
  expect(await healthOf(org, webhook)).toMatchObject({ state: 'open', consecutiveFailures: 10 })
})

test('18. a subscription is disabled whether or not anybody listens: there is no callback URL to set', async () => {
  const org = await story.addOrg()
  const { url } = await openEndpoint(500)
  const webhook = await org.subscribe(url)
  await failInARow(org, 9)
  await ageFailures(webhook, '6 days')
  await failInARow(org, 1)
  expect(await healthOf(org, webhook)).toMatchObject({ state: 'disabled' })
})

test('19. an episode of failures is told once, at its tenth: no alerts at thresholds, none for each exhausted delivery', async () => {
  const org = await story.addOrg()
  const { url, receiver } = await openEndpoint(500)
  const listener = await openEndpoint(200)
  const webhook = await org.subscribe(url, { eventTypes: ['story.*'] })
  await org.subscribe(listener.url, { eventTypes: OPERATIONAL })
  await failInARow(org, 9)
  expect(listener.receiver.requests).toHaveLength(0)
  await failInARow(org, 1)
  await until('it is told', () => listener.receiver.requests.length === 1)
  for (let probe = 1; probe <= 3; probe += 1) {
    const eventId = await org.emit()
    await probeNow(webhook)
    expect(await org.ended(eventId)).toMatchObject({ status: 'failed' })
  }
  expect(receiver.requests).toHaveLength(13)
  // Whatever was told of those would be fanned out before an event that comes after them.
  const last = await org.emit('webhook.subscription.failing', {
    webhookId: webhook.id,
    integrationId: org.integrationId,
    url,
    consecutiveFailures: 1,
    failingSince: null,
    lastError: 'the last one',
  })
  await org.ended(last)
  expect(idsAt(listener.receiver).at(-1)).toBe(last)
  expect(listener.receiver.requests).toHaveLength(2)
})

test('20. `failing` is told when the circuit opens at the tenth failure in a row, `recovered` on success', async () => {
  const org = await story.addOrg()
  const { url, answer } = await openEndpoint(500)
  const listener = await openEndpoint(200)
  const webhook = await org.subscribe(url, { eventTypes: ['story.*'] })
  await org.subscribe(listener.url, { eventTypes: OPERATIONAL })
  await failInARow(org, 10)
  await until('it is told', () => listener.receiver.requests.length === 1)
  expect((await healthOf(org, webhook)).state).toBe('open')
  answer.status = 200
  const eventId = await org.emit()
  await probeNow(webhook)
  expect(await org.ended(eventId)).toMatchObject({ status: 'delivered' })
  await until('the recovery is told', () => listener.receiver.requests.length === 2)
  const about = { webhookId: webhook.id, integrationId: org.integrationId }
  expect(toldTo(listener.receiver)).toMatchObject([
    {
      type: 'webhook.subscription.failing',
      data: { ...about, consecutiveFailures: 10, lastError: 'HTTP 500' },
    },
    { type: 'webhook.subscription.recovered', data: about },
  ])
  expect((await healthOf(org, webhook)).state).toBe('healthy')
})
