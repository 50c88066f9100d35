import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { fillBothOrgs, HISTORY_ASKS, isDearer, pagesOf } from '../../test/plans/history.ts'
import type { InOrg } from '../db/tenants.ts'

let database: TestDatabase
let ids: Awaited<ReturnType<typeof fillBothOrgs>>
beforeAll(async () => {
  database = await openTestDatabase()
  const client = await database.pool.connect()
  ids = await fillBothOrgs(client, 100_000)
  client.release()
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
})

test.each(HISTORY_ASKS)(
  '$name costs under row-level security what it costs without it',
  async (ask) => {
    const asOwner: InOrg = (_org, work) => work(database.db, database.pool)
    const free = await pagesOf(ask, asOwner, ids)
    const closed = await pagesOf(ask, database.inOrg, ids)
    expect(isDearer(closed, free), `${closed} pages, ${free} without`).toBe(false)
  },
)

test.each(HISTORY_ASKS.filter(({ name }) => name.includes('subscription')))(
  '$name touch some hundred pages, however long the history is',
  async (ask) => {
    expect(await pagesOf(ask, database.inOrg, ids)).toBeLessThan(2000)
  },
)
