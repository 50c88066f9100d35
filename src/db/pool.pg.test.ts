import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { openPool } from './pool.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

test('a session reads what is committed and speaks UTC, whatever the host has made the default', async () => {
  const name = new URL(database.url).pathname.slice(1)
  await database.pool.query(
    `alter database ${name} set default_transaction_isolation = 'serializable'`,
  )
  await database.pool.query(`alter database ${name} set timezone = 'Asia/Tokyo'`)
  const pool = openPool({
    url: database.url,
    max: 1,
    applicationName: 'test',
    onError: () => undefined,
  })
  const { rows } = await pool.query(
    `select current_setting('transaction_isolation') as isolation, current_setting('timezone') as zone`,
  )
  await pool.end()
  expect(rows).toEqual([{ isolation: 'read committed', zone: 'UTC' }])
})
