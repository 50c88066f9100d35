import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { emit, makeWake } from '../../src/index.ts'
import { openTestDatabase } from '../fixtures/database.ts'
import { newSecrets, startPatchbay, until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { subscribe } from '../fixtures/subscription.ts'

const EVENTS = 15
/** By their own looks, a quarter of a second apart, the workers would find two in five of them within this. */
const SOON_MS = 100

test('events of a host that wakes the workers do not wait for their next look', async () => {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await openTestDatabase())
  const receiver = stack.use(await openReceiver())
  const secrets = newSecrets()
  const orgId = await database.addOrg()
  await subscribe(database, secrets.MASTER_KEY, orgId, {
    url: `${receiver.url}/hook`,
    eventTypes: ['*'],
  })
  stack.use(startPatchbay('worker', { ...secrets, DATABASE_URL: database.url }))
  const wake = makeWake(database.pool, (error) => expect.fail(String(error)))
  const tookMs: number[] = []
  for (let n = 0; n <= EVENTS; n += 1) {
    await emit(database.pool, { orgId, type: 'a.b', data: { n } })
    const committedAt = performance.now()
    wake()
    await until('it is here', () => receiver.requests.length > n)
    // The first one waits for the worker to start.
    if (n > 0) tookMs.push(performance.now() - committedAt)
    // So that they fall between two looks at random.
    await sleep(150 + Math.random() * 250)
  }
  expect(tookMs.filter((ms) => ms < SOON_MS).length).toBeGreaterThanOrEqual(EVENTS - 3)
})
