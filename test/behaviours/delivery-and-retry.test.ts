import { afterAll, expect, test } from 'vitest'
import { emit } from '../../src/index.ts'
import { until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { openStory } from './story.ts'

/** A try lasts half the lease at most. */
const TRY_S = 4
const stack = new AsyncDisposableStack()
const story = stack.use(await openStory({ env: { LEASE_SECONDS: String(TRY_S * 2) } }))
afterAll(() => stack.disposeAsync())

/** Answers by the path of the URL, like `/503` or `/429?retry-after=7`. */
const receiver = stack.use(
  await openReceiver((response, { url }) => {
    const { pathname, searchParams } = new URL(url, 'http://receiver')
    if (pathname === '/hang') return
    response.writeHead(Number(pathname.slice(1)), Object.fromEntries(searchParams)).end()
  }),
)
const requestsTo = (path: string) => receiver.requests.filter(({ url }) => url === path)
const secondsUntil = (time: string | null, since: string | undefined) =>
  (Date.parse(time ?? '') - Date.parse(since ?? '')) / 1000

test('1. a 5xx is retried on the schedule, and the delivery is failed after its last slot', async () => {
  const org = await story.addOrg()
  await org.subscribe(`${receiver.url}/500?case=1`, { retrySchedule: [60, 600] })
  const eventId = await org.emit()
  for (const [tries, waitS] of [
    [1, 60],
    [2, 600],
  ] as const) {
    const { id, status, nextAttemptAt } = await org.tried(eventId, tries)
    expect(status).toBe('owed')
    const last = (await org.attempts(id)).at(-1)
    // The wait is spread over ±15 %; the two times are taken by one statement of the database.
    expect(secondsUntil(nextAttemptAt, last?.createdAt)).toBeGreaterThan(waitS * 0.849)
    expect(secondsUntil(nextAttemptAt, last?.createdAt)).toBeLessThan(waitS * 1.151)
    await story.makeDue(id)
  }
  const ended = await org.ended(eventId)
  expect(ended).toMatchObject({ status: 'failed', attempts: 3, nextAttemptAt: null })
  expect(requestsTo('/500?case=1')).toHaveLength(3)
})

test('2. an empty schedule is exactly one try', async () => {
  const org = await story.addOrg()
  await org.subscribe(`${receiver.url}/503?case=2`, { retrySchedule: [] })
  const ended = await org.ended(await org.emit())
  expect(ended).toMatchObject({ status: 'failed', attempts: 1 })
  expect(requestsTo('/503?case=2')).toHaveLength(1)
})

test('3. a success ends the tries, and their numbers go from 1 without a gap', async () => {
  const org = await story.addOrg()
  const flaky = stack.use(
    await openReceiver((response) => {
      response.writeHead(flaky.requests.length < 3 ? 500 : 200).end()
    }),
  )
  await org.subscribe(flaky.url, { retrySchedule: [0, 0, 0, 0, 0] })
  const { id, status } = await org.ended(await org.emit())
  expect(status).toBe('delivered')
  const attempts = await org.attempts(id)
  expect(attempts.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
    [1, 'failed'],
    [2, 'failed'],
    [3, 'delivered'],
  ])
  expect(flaky.requests.map(({ headers }) => headers['x-ai-chat-attempt'])).toEqual(['1', '2', '3'])
  const { rows } = await story.pool.query('select from patchbay.delivery_queue where id = $1', [id])
  expect(rows).toHaveLength(0)
})

test('4. an endpoint that hangs and fails neither delays nor repeats what another one gets', async () => {
  const org = await story.addOrg()
  let release = () => {}
  const bad = stack.use(
    await openReceiver((response) => {
      if (bad.requests.length > 1) response.writeHead(500).end()
      else release = () => response.writeHead(500).end()
    }),
  )
  const toBad = await org.subscribe(bad.url, { retrySchedule: [0] })
  const toGood = await org.subscribe(`${receiver.url}/200?case=4`)
  const eventId = await org.emit()
  const stateOf = async (webhookId: string) =>
    (await org.deliveries(eventId)).find((delivery) => delivery.webhookId === webhookId)?.status
  await until('the good one has it', async () => (await stateOf(toGood.id)) === 'delivered')
  await until('the bad one is asked', () => bad.requests.length === 1)
  expect(await stateOf(toBad.id)).toBe('owed')
  release()
  await until('the bad one is given up', async () => (await stateOf(toBad.id)) === 'failed')
  expect(bad.requests).toHaveLength(2)
  expect(requestsTo('/200?case=4')).toHaveLength(1)
})

test('5. a redirect is not followed, and counts as a failure with its status', async () => {
  const org = await story.addOrg()
  const redirect = `/308?location=${encodeURIComponent(`${receiver.url}/200?case=5`)}`
  await org.subscribe(receiver.url + redirect)
  const { id, status } = await org.ended(await org.emit())
  expect(status).toBe('failed')
  expect(await org.attempts(id)).toMatchObject([{ outcome: 'failed', statusCode: 308 }])
  expect(requestsTo(redirect)).toHaveLength(1)
  expect(requestsTo('/200?case=5')).toHaveLength(0)
})

test('6. a 410 ends the delivery and disables the subscription, with that reason', async () => {
  const org = await story.addOrg()
  const { path } = await org.subscribe(`${receiver.url}/410`, { retrySchedule: [0, 0] })
  const { id, status } = await org.ended(await org.emit())
  expect(status).toBe('failed')
  expect(await org.attempts(id)).toMatchObject([{ outcome: 'gone', statusCode: 410 }])
  const { webhook } = (await org.call('GET', path)).body
  expect(webhook).toMatchObject({ isActive: false, health: { state: 'disabled' } })
  expect(webhook.disabledReason).toContain('410')
})

test('7. Retry-After on a 429 moves the next try later, never sooner, and by 24 hours at most', async () => {
  const org = await story.addOrg()
  const in200s = new Date(Date.now() + 200_000).toUTCString()
  for (const [retryAfter, scheduleS, atLeastS, atMostS] of [
    ['120', 1, 120, 120.5],
    [in200s, 1, 150, 200.5],
    ['1', 600, 510, 690],
    ['99999999', 1, 86_400, 86_400.5],
  ] as const) {
    const path = `/429?retry-after=${encodeURIComponent(retryAfter)}`
    const webhook = await org.subscribe(receiver.url + path, { retrySchedule: [scheduleS] })
    const { id, nextAttemptAt } = await org.tried(await org.emit(), 1)
    const [first] = await org.attempts(id)
    expect(first).toMatchObject({ outcome: 'throttled', statusCode: 429 })
    const waitS = secondsUntil(nextAttemptAt, first?.createdAt)
    expect(waitS).toBeGreaterThanOrEqual(atLeastS)
    expect(waitS).toBeLessThanOrEqual(atMostS)
    await org.call('DELETE', webhook.path)
  }
})

test('8. an endpoint that hangs is left at the time limit, and the try has failed', async () => {
  const org = await story.addOrg()
  await org.subscribe(`${receiver.url}/hang`)
  const { id, status } = await org.ended(await org.emit())
  expect(status).toBe('failed')
  expect(await org.attempts(id)).toMatchObject([
    { outcome: 'failed', statusCode: null, error: `no answer within ${TRY_S} s` },
  ])
})

test('9. the body carries what was emitted byte for byte, on every try', async () => {
  const org = await story.addOrg()
  await org.subscribe(`${receiver.url}/500?case=9`, { retrySchedule: [0] })
  const data = '{"z":1.10, "a":[1,  2],"10":0,"2":0,"big":12345678901234567890,"é":"\\u00e9 é"}'
  await org.ended(await emit(story.pool, { orgId: org.id, type: 'story.told', data }))
  const bodies = requestsTo('/500?case=9').map(({ body }) => body)
  expect(bodies).toHaveLength(2)
  expect(bodies[0]).toBe(bodies[1])
  expect(bodies[0]?.slice(bodies[0].indexOf(',"data":'))).toBe(`,"data":${data}}`)
})

test('9. what was posted over HTTP keeps its numbers and the order of its keys', async () => {
  const org = await story.addOrg()
  await org.subscribe(`${receiver.url}/200?case=9`)
  const data = '{"z":1.10,"a":{"y":1,"x":2},"10":"ten","2":"two","big":12345678901234567890}'
  const posted = await story.call('POST', `${org.path}/events`, {
    token: org.token,
    text: `{"type":"story.told","data":${data}}`,
  })
  await org.ended(posted.body.event.id)
  const [body] = requestsTo('/200?case=9').map((request) => request.body)
  expect(body?.slice(body.indexOf(',"data":'))).toBe(`,"data":${data}}`)
})

test('10. webhook-id is the same on every try, webhook-timestamp is that of the try', async () => {
  const org = await story.addOrg()
  await org.subscribe(`${receiver.url}/500?case=10`, { retrySchedule: [2] })
  const eventId = await org.emit()
  await org.ended(eventId)
  const [first, second] = requestsTo('/500?case=10').map(({ headers }) => headers)
  expect(first?.['webhook-id']).toBe(eventId)
  expect(second?.['webhook-id']).toBe(eventId)
  const timestamps = [first, second].map((headers) => Number(headers?.['webhook-timestamp']))
  expect((timestamps[1] ?? 0) - (timestamps[0] ?? 0)).toBeGreaterThanOrEqual(1)
  expect(first?.['webhook-signature']).not.toBe(second?.['webhook-signature'])
})

test('11. whatever is not a 2xx is sent once where the schedule is empty: there is no other at-most-once mode', async () => {
  const org = await story.addOrg()
  for (const status of [302, 404, 429, 500]) {
    const webhook = await org.subscribe(`${receiver.url}/${status}?case=11`, { retrySchedule: [] })
    expect(await org.ended(await org.emit())).toMatchObject({ status: 'failed', attempts: 1 })
    expect(requestsTo(`/${status}?case=11`)).toHaveLength(1)
    await org.call('DELETE', webhook.path)
  }
})

test('12. an event older than maxAgeSeconds is ended as expired, without a request', async () => {
  const org = await story.addOrg()
  await org.subscribe(`${receiver.url}/200?case=12`, { maxAgeSeconds: 60 })
  const eventId = await story.emitAgo(org, '2 minutes')
  const { status, attempts, lastError } = await org.ended(eventId)
  expect({ status, attempts }).toEqual({ status: 'expired', attempts: 0 })
  expect(lastError).toContain('maxAgeSeconds')
  expect(requestsTo('/200?case=12')).toHaveLength(0)
  expect(await org.ended(await org.emit())).toMatchObject({ status: 'delivered' })
})

test('13. a new subscription gets the next event at once, and none from before', async () => {
  const org = await story.addOrg()
  const before = await org.emit()
  await until('it is fanned out, to nobody', story.isFannedOut)
  const subscribed = await org.subscribe(`${receiver.url}/200?case=13`)
  const startedAt = performance.now()
  const eventId = await org.emit()
  await until('it has arrived', () => requestsTo('/200?case=13').length > 0)
  expect(performance.now() - startedAt).toBeLessThan(2000)
  expect(requestsTo('/200?case=13').map(({ headers }) => headers['webhook-id'])).toEqual([eventId])
  const why = await org.call(
    'GET',
    `${org.path}/events/${before}/explain?webhookId=${subscribed.id}`,
  )
  expect(why.body.verdict).toBe('created_later')
})
