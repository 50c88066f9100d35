import { afterAll, expect, test } from 'vitest'
import { until } from '../fixtures/process.ts'
import { openReceiver, type Receiver } from '../fixtures/receiver.ts'
import { openStory, type StoryOrg, type Subscribed } from './story.ts'

const RETENTION_DAYS = 30
const stack = new AsyncDisposableStack()
const story = stack.use(await openStory({ env: { RETENTION_DAYS: String(RETENTION_DAYS) } }))
afterAll(() => stack.disposeAsync())

async function openEndpoint(status: number) {
  const answer = { status }
  const receiver = stack.use(
    await openReceiver((response) => response.writeHead(answer.status).end('what it said')),
  )
  return { receiver, answer }
}

const idsAt = (receiver: Receiver) => receiver.requests.map(({ headers }) => headers['webhook-id'])
const retry = (org: StoryOrg, id: string) => org.call('POST', `${org.path}/deliveries/${id}/retry`)
const recover = (org: StoryOrg, { path }: Subscribed, json: object) =>
  org.call('POST', `${path}/recover`, json)
const triggersOf = async (org: StoryOrg, id: string) =>
  (await org.attempts(id)).map(({ trigger }) => trigger)

test('39. a manual retry is an attempt marked manual, which spends no step of the schedule and moves none', async () => {
  const org = await story.addOrg()
  const { receiver, answer } = await openEndpoint(500)
  await org.subscribe(receiver.url, { retrySchedule: [3000, 600] })
  const eventId = await org.emit()
  const { id, nextAttemptAt } = await org.tried(eventId, 1)
  expect((await retry(org, id)).status).toBe(202)
  expect(await org.tried(eventId, 2)).toMatchObject({ status: 'owed', nextAttemptAt })
  await story.makeDue(id)
  const later = await org.tried(eventId, 3)
  const waitS = (Date.parse(later.nextAttemptAt ?? '') - Date.now()) / 1000
  expect(waitS).toBeGreaterThan(500)
  expect(waitS).toBeLessThan(700)
  await story.makeDue(id)
  expect(await org.ended(eventId)).toMatchObject({ status: 'failed', attempts: 4 })
  expect(await triggersOf(org, id)).toEqual(['schedule', 'manual', 'schedule', 'schedule'])

  answer.status = 200
  await retry(org, id)
  await until('it is delivered', async () => (await org.delivery(id)).status === 'delivered')
  expect((await org.attempts(id)).at(-1)).toMatchObject({
    attempt: 5,
    trigger: 'manual',
    outcome: 'delivered',
  })
  expect(new Set(idsAt(receiver))).toEqual(new Set([eventId]))
})

test('40. two manual retries both run, also when they come while one is on its way; on a disabled subscription it is a 409', async () => {
  const org = await story.addOrg()
  const releases: (() => void)[] = []
  const receiver = stack.use(
    await openReceiver((response) => {
      if (receiver.requests.length === 1) response.writeHead(500).end()
      else releases.push(() => response.writeHead(500).end())
    }),
  )
  const webhook = await org.subscribe(receiver.url, { retrySchedule: [3000] })
  const eventId = await org.emit()
  const { id, nextAttemptAt } = await org.tried(eventId, 1)
  expect((await retry(org, id)).status).toBe(202)
  await until('the first is on its way', () => releases.length === 1)
  expect((await retry(org, id)).status).toBe(202)
  releases[0]?.()
  await until('the second is on its way', () => releases.length === 2)
  releases[1]?.()
  expect(await org.tried(eventId, 3)).toMatchObject({ status: 'owed', nextAttemptAt })
  expect(await triggersOf(org, id)).toEqual(['schedule', 'manual', 'manual'])

  await org.call('PATCH', webhook.path, { isActive: false })
  expect(await retry(org, id)).toMatchObject({ status: 409, body: { error: 'CONFLICT' } })
  expect(receiver.requests).toHaveLength(3)
})

test('41. a recovery sends exactly what failed in its window again; a window before the retention is refused', async () => {
  const org = await story.addOrg()
  const { receiver, answer } = await openEndpoint(500)
  const webhook = await org.subscribe(receiver.url)
  const since = new Date().toISOString()
  const failed: string[] = []
  for (let n = 0; n < 3; n += 1) failed.push(await org.emit())
  for (const eventId of failed) expect(await org.ended(eventId)).toMatchObject({ status: 'failed' })
  answer.status = 200
  const delivered = await org.emit()
  await org.ended(delivered)
  const tooOld = new Date(Date.now() - (RETENTION_DAYS * 24 + 1) * 3_600_000).toISOString()
  expect(await recover(org, webhook, { since: tooOld })).toMatchObject({
    status: 400,
    body: { error: 'INVALID_BODY', details: [{ path: 'since' }] },
  })
  const begun = await recover(org, webhook, { since })
  expect(begun).toMatchObject({ status: 202, body: { recovery: { matched: 3 } } })
  const path = `${webhook.path}/recoveries/${begun.body.recovery.id}`
  await until('the recovery is done', async () => {
    return (await org.call('GET', path)).body.recovery.state === 'done'
  })
  expect((await org.call('GET', path)).body.recovery).toMatchObject({ queued: 3, skipped: 0 })
  for (const eventId of failed) {
    const { id, status } = await org.ended(eventId)
    expect(status).toBe('delivered')
    expect(await triggersOf(org, id)).toEqual(['schedule', 'recovery'])
  }
  expect(idsAt(receiver).toSorted()).toEqual([...failed, ...failed, delivered].toSorted())
})

test('42. a dry run counts and sends nothing; what is sent again has the id it had', async () => {
  const org = await story.addOrg()
  const { receiver, answer } = await openEndpoint(500)
  const webhook = await org.subscribe(receiver.url, { eventTypes: ['story.*'] })
  const since = new Date().toISOString()
  const failed = await org.emit()
  await org.ended(failed)
  await org.call('PATCH', webhook.path, { isActive: false })
  const missed = await org.emit()
  await until('it is fanned out, to nobody', story.isFannedOut)
  await org.call('PATCH', webhook.path, { isActive: true })
  answer.status = 200
  const statuses = ['failed', 'missed']
  const dry = await recover(org, webhook, { since, statuses, dryRun: true })
  expect(dry).toMatchObject({ status: 200, body: { matched: 2 } })
  const { rows } = await story.pool.query('select from patchbay.recoveries where org_id = $1', [
    org.id,
  ])
  expect(rows).toHaveLength(0)
  expect(idsAt(receiver)).toEqual([failed])

  await recover(org, webhook, { since, statuses })
  await until('both have arrived', () => receiver.requests.length === 3)
  expect(idsAt(receiver).slice(1).toSorted()).toEqual([failed, missed].toSorted())
})

test('43. with the event removed its text is gone, what happened stays, and it cannot be sent again', async () => {
  const org = await story.addOrg()
  const { receiver } = await openEndpoint(200)
  await org.subscribe(receiver.url)
  const eventId = await org.emit('story.told', { secret: 'a word to forget' })
  const { id } = await org.ended(eventId)
  // There is no route for it: an operator does it in SQL.
  await story.pool.query('delete from patchbay.outbox_events where id = $1', [eventId])
  await story.pool.query(
    'update patchbay.webhook_delivery_log set response_snippet = null where event_id = $1',
    [eventId],
  )
  const shown = await org.call('GET', `${org.path}/deliveries/${id}`)
  expect(shown.body).toMatchObject({
    event: null,
    delivery: { id, eventId, status: 'delivered', hasBody: false },
    attempts: [{ attempt: 1, outcome: 'delivered', statusCode: 200, responseSnippet: null }],
  })
  expect(shown.text).not.toMatch(/a word to forget|what it said/)
  expect(await retry(org, id)).toMatchObject({ status: 409, body: { error: 'CONFLICT' } })
  expect(receiver.requests).toHaveLength(1)
})

test('44. past the retention the body is dropped and a resend refused, the metadata stays, what was owed is expired', async () => {
  const org = await story.addOrg()
  const { receiver } = await openEndpoint(500)
  const webhook = await org.subscribe(receiver.url)
  const failed = await org.ended(await story.emitAgo(org, `${RETENTION_DAYS + 3} days`))
  await org.call('PATCH', webhook.path, { retrySchedule: [3000] })
  const owed = await org.tried(await story.emitAgo(org, `${RETENTION_DAYS + 3} days`), 1)
  const old = await story.emitAgo(org, `${RETENTION_DAYS + 3} days`)
  await org.tried(old, 1)
  // What the hourly maintenance does.
  await story.pool.query('select patchbay.ensure_partitions(14)')
  await story.pool.query('select patchbay.expire_owed($1, 1000)', [RETENTION_DAYS])
  await until('the day is dropped', async () => {
    await story.pool.query('select patchbay.drop_old_partition($1)', [RETENTION_DAYS])
    return (await org.call('GET', `${org.path}/events/${old}`)).status === 404
  })
  expect(await org.delivery(failed.id)).toMatchObject({ status: 'failed', hasBody: false })
  expect(await org.attempts(failed.id)).toMatchObject([{ outcome: 'failed', statusCode: 500 }])
  expect(await retry(org, failed.id)).toMatchObject({ status: 409, body: { error: 'CONFLICT' } })
  const expired = await org.delivery(owed.id)
  expect(expired).toMatchObject({ status: 'expired', attempts: 1, hasBody: false })
  expect(expired.lastError).toContain('retention')
  expect(receiver.requests).toHaveLength(3)
})
