import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from './fixtures/database.ts'
import { addDeliveries, addLane, type TestLane } from './fixtures/lanes.ts'

/** `docs/deploy/owed-age.sql`: what the number of workers is scaled by. */
let database: TestDatabase
let lane: TestLane
beforeAll(async () => {
  database = await openTestDatabase()
  const script = await readFile('docs/deploy/owed-age.sql', 'utf8')
  await database.pool.query(script)
  // As after an update.
  await database.pool.query(script)
})
beforeEach(async () => {
  await database.empty()
  lane = await addLane(database.pool, await database.addOrg())
})
afterAll(async () => {
  await database.pool.query('drop owned by patchbay_scaler; drop role patchbay_scaler')
  await database[Symbol.asyncDispose]()
})

async function owedAge(): Promise<number> {
  const { rows } = await database.pool.query('select patchbay_scaling.owed_age() as age')
  return rows[0].age
}

async function addOwed(since: string): Promise<void> {
  const ids = await addDeliveries(database.pool, lane)
  await database.pool.query(
    'update patchbay.delivery_queue set due_at = now() - $2::interval where id = any ($1)',
    [ids, since],
  )
}

test('nothing that is ready has no age', async () => {
  expect(await owedAge()).toBe(0)
  await addOwed('1 minute')
  await database.pool.query('update patchbay.delivery_queue set ready = false')
  expect(await owedAge()).toBe(0)
})

test('the age is that of the lane whose first in line has waited longest', async () => {
  await addOwed('20 seconds')
  lane = await addLane(database.pool, lane.orgId)
  await addOwed('90 seconds')
  await addOwed('10 seconds')
  lane = await addLane(database.pool, await database.addOrg())
  await addOwed('5 seconds')
  expect(Math.round(await owedAge())).toBe(90)
})

test.each([
  ['a rate', 'update patchbay.webhook_subscriptions set rate_limit = 1'],
  ['failures', 'update patchbay.subscription_health set consecutive_failures = 1'],
  ['an open circuit', 'update patchbay.subscription_health set open_until = now()'],
  ['a disabled subscription', 'update patchbay.webhook_subscriptions set is_active = false'],
  ['a disabled integration', 'update patchbay.org_integrations set is_enabled = false'],
])('a lane with %s does not count: more workers would not make it faster', async (_, change) => {
  await addOwed('1 minute')
  expect(await owedAge()).toBeGreaterThan(59)
  await database.pool.query(change)
  expect(await owedAge()).toBe(0)
})

test('its login may ask that, and nothing else', async () => {
  await addOwed('1 minute')
  const client = await database.pool.connect()
  try {
    await client.query('set role patchbay_scaler')
    const { rows } = await client.query('select patchbay_scaling.owed_age() as age')
    expect(rows[0].age).toBeGreaterThan(59)
    for (const table of ['delivery_queue', 'orgs', 'webhook_deliveries', 'data_keys']) {
      await expect(client.query(`select from patchbay.${table}`)).rejects.toThrow(/denied/)
    }
  } finally {
    await client.query('reset role')
    client.release()
  }
  const { rows } = await database.pool.query(
    `select has_function_privilege('public', 'patchbay_scaling.owed_age()', 'execute') as is_open`,
  )
  expect(rows).toEqual([{ is_open: false }])
})
