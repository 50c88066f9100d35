import { afterAll, expect, test } from 'vitest'
import { startPatchbay, until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { openStory, type StoryOrg } from './story.ts'

const stack = new AsyncDisposableStack()
const story = stack.use(await openStory({ isWorker: false }))
afterAll(() => stack.disposeAsync())

for (let n = 0; n < 2; n += 1) {
  const worker = stack.use(startPatchbay('worker', { ...story.env, LOG_LEVEL: 'info' }))
  await until('the worker is up', () => worker.output().includes('service.started'))
}

async function emitMany(org: StoryOrg, count: number): Promise<void> {
  await story.pool.query(
    `select patchbay.emit_event($1, 'story.told', '{}') from generate_series(1, $2)`,
    [org.id, count],
  )
}

test('52. with two workers no window of one second holds more requests than the rate limit, and the rate is used', async () => {
  const perSecond = 10
  const count = 40
  const org = await story.addOrg()
  const arrivedAt: number[] = []
  const receiver = stack.use(
    await openReceiver((response) => {
      arrivedAt.push(performance.now())
      response.end()
    }),
  )
  await org.subscribe(receiver.url, { rateLimit: { perSecond } })
  await emitMany(org, count)
  await until('all have arrived', () => arrivedAt.length === count)
  const windowsMs = arrivedAt.slice(perSecond).map((at, n) => at - (arrivedAt[n] ?? 0))
  // One more in a second would be 945 ms; the rest is what the network and the scheduler may shift.
  expect(Math.min(...windowsMs)).toBeGreaterThanOrEqual(950)
  expect((arrivedAt.at(-1) ?? 0) - (arrivedAt[0] ?? 0)).toBeLessThan((count / perSecond) * 1500)
})

test('51. an org with 10 events waits a bounded time behind an org with 10,000', async () => {
  const noisy = await story.addOrg()
  const quiet = await story.addOrg()
  const crowd = stack.use(
    await openReceiver((response) => void setTimeout(() => response.end(), 50)),
  )
  const calm = stack.use(await openReceiver())
  await noisy.subscribe(crowd.url)
  await quiet.subscribe(calm.url)
  await emitMany(noisy, 10_000)
  await until('the noisy one is being served', () => crowd.requests.length > 0)
  const startedAt = performance.now()
  await emitMany(quiet, 10)
  await until('the quiet one has all of its own', () => calm.requests.length === 10)
  expect(performance.now() - startedAt).toBeLessThan(5000)
  // Otherwise there was no crowd to wait behind.
  expect(crowd.requests.length).toBeLessThan(10_000)
})
