import { afterAll, expect, test } from 'vitest'
import { until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { type Attempt, type Delivery, openStory, type StoryOrg } from './story.ts'

const stack = new AsyncDisposableStack()
const story = stack.use(await openStory())
afterAll(() => stack.disposeAsync())

/** Answers by the path of the URL, like `/500`; `?length=9` with a body of that length. */
const receiver = stack.use(
  await openReceiver((response, { url }) => {
    const { pathname, searchParams } = new URL(url, 'http://receiver')
    const body = 'x'.repeat(Number(searchParams.get('length') ?? 0))
    response.writeHead(Number(pathname.slice(1))).end(body)
  }),
)

test('45. the body of an answer is kept up to 1,024 characters, and what was cut is marked', async () => {
  const org = await story.addOrg()
  for (const [length, kept, isCut] of [
    [12, 12, false],
    [1024, 1024, false],
    [1025, 1024, true],
    [1_000_000, 1024, true],
  ] as const) {
    const webhook = await org.subscribe(`${receiver.url}/500?length=${length}`)
    const { id } = await org.ended(await org.emit())
    const snippet = (await org.attempts(id))[0]?.responseSnippet ?? ''
    expect(snippet).toHaveLength(kept)
    expect(snippet.endsWith('…')).toBe(isCut)
    await org.call('DELETE', webhook.path)
  }
})

/** Every page of a list of deliveries, one after the other; `meanwhile` runs between two pages. */
async function allPages(
  org: StoryOrg,
  filter: Readonly<Record<string, string>>,
  meanwhile: () => Promise<unknown>,
): Promise<Delivery[]> {
  const all: Delivery[] = []
  let cursor: string | null = null
  do {
    const query = new URLSearchParams({ ...filter, limit: '7' })
    if (cursor !== null) query.set('cursor', cursor)
    const { status, body } = await org.call('GET', `${org.path}/deliveries?${query}`)
    expect(status).toBe(200)
    expect(body.deliveries.length).toBeLessThanOrEqual(7)
    all.push(...body.deliveries)
    cursor = body.nextCursor
    await meanwhile()
  } while (cursor !== null)
  return all
}

/** A time that ids before now lie before, and ids from now on lie after: they carry their time in milliseconds. */
async function boundary(): Promise<string> {
  const { rows } = await story.pool.query<{ at: Date }>(
    // Sleeps over a millisecond on either side.
    `select pg_sleep(0.002), date_trunc('milliseconds', clock_timestamp()) + interval '1 ms' as at, pg_sleep(0.002)`,
  )
  return rows[0]?.at.toISOString() ?? ''
}

async function emitMany(org: StoryOrg, count: number): Promise<void> {
  await story.pool.query(
    `select patchbay.emit_event($1, 'story.told', '{}') from generate_series(1, $2)`,
    [org.id, count],
  )
  await until('they are fanned out', story.isFannedOut)
}

test('46. pages of a window have every delivery once, newest first, while new ones come', async () => {
  const org = await story.addOrg()
  // Not what is told about the one that fails.
  const eventTypes = ['story.*']
  const good = await org.subscribe(`${receiver.url}/200`, { eventTypes })
  await org.subscribe(`${receiver.url}/500`, { eventTypes, retrySchedule: [3000] })
  await emitMany(org, 3)
  const since = await boundary()
  await emitMany(org, 20)
  const window = { since, until: await boundary() }
  const { rows: wanted } = await story.pool.query<{ id: string; webhook: string }>(
    `select delivery_id as id, subscription_id as webhook from patchbay.webhook_deliveries
     where org_id = $1 and delivery_id >= patchbay.id_floor($2) order by delivery_id desc`,
    [org.id, since],
  )
  expect(wanted).toHaveLength(40)
  const all = await allPages(org, window, () => org.emit())
  expect(all.map(({ id }) => id)).toEqual(wanted.map(({ id }) => id))
  const ofOne = await allPages(org, { ...window, webhookId: good.id }, () => org.emit())
  const wantedOfOne = wanted.filter(({ webhook }) => webhook === good.id)
  expect(ofOne.map(({ id }) => id)).toEqual(wantedOfOne.map(({ id }) => id))
})

test('47. the statistics of a subscription equal its attempts', async () => {
  const org = await story.addOrg()
  const flaky = stack.use(
    await openReceiver((response) => {
      response.writeHead(flaky.requests.length % 3 === 0 ? 200 : 503).end()
    }),
  )
  const webhook = await org.subscribe(flaky.url, { retrySchedule: [0] })
  const ended: Delivery[] = []
  for (let n = 0; n < 6; n += 1) ended.push(await org.ended(await org.emit()))
  await org.call('PATCH', webhook.path, { retrySchedule: [3000] })
  const { id: toCancel } = await org.tried(await org.emit(), 1)
  const { body: canceled } = await org.call('POST', `${org.path}/deliveries/${toCancel}/cancel`)
  const owed = await org.tried(await org.emit(), 1)
  const deliveries: Delivery[] = [...ended, canceled.delivery, owed]
  const attempts: Attempt[] = []
  for (const { id } of deliveries) attempts.push(...(await org.attempts(id)))
  const countOf = (status: Delivery['status']) =>
    deliveries.filter((delivery) => delivery.status === status).length
  const { body: stats } = await org.call('GET', `${webhook.path}/stats`)
  expect(flaky.requests).toHaveLength(attempts.length)
  expect(stats).toMatchObject({
    delivered: countOf('delivered'),
    failed: countOf('failed'),
    canceled: countOf('canceled'),
    owed: countOf('owed'),
    attempts: attempts.length,
    failedAttempts: attempts.filter(({ outcome }) => outcome !== 'delivered').length,
  })
  expect(stats.delivered * stats.failed * stats.canceled).toBeGreaterThan(0)
  for (const member of ['delivered', 'failed', 'attempts', 'failedAttempts']) {
    const inBuckets = stats.buckets.reduce(
      (sum: number, bucket: Record<string, number>) => sum + (bucket[member] ?? 0),
      0,
    )
    expect({ member, inBuckets }).toEqual({ member, inBuckets: stats[member] })
  }
})
