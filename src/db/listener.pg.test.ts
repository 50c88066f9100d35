import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { until } from '../../test/fixtures/process.ts'
import { openListener } from './listener.ts'

const NAME = 'patchbay test listener'

let database: TestDatabase
let notices: number
const errors: Error[] = []
beforeEach(async () => {
  database = await openTestDatabase()
  notices = 0
  errors.length = 0
})
afterEach(() => database[Symbol.asyncDispose]())

const listen = () =>
  openListener({
    url: database.url,
    channel: 'patchbay_wake',
    applicationName: NAME,
    onNotice: () => {
      notices += 1
    },
    onError: (error) => errors.push(error),
  })
const wake = () => database.pool.query('select patchbay.wake()')
const connections = async () =>
  (
    await database.pool.query('select pid from pg_stat_activity where application_name = $1', [
      NAME,
    ])
  ).rows.length

test('hears what is said after it began, and once when it began', async () => {
  await using _listener = listen()
  await until('it listens', () => notices === 1)
  await wake()
  await until('it heard', () => notices === 2)
  expect(errors).toEqual([])
})

test('hears again when its connection was lost, and looks after what it missed', async () => {
  await using _listener = listen()
  await until('it listens', () => notices === 1)
  await database.pool.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1',
    [NAME],
  )
  await until('it listens again', () => notices === 2)
  expect(errors).not.toEqual([])
  await wake()
  await until('it heard', () => notices === 3)
})

test('leaves no connection behind', async () => {
  {
    await using _listener = listen()
    await until('it listens', () => notices === 1)
    expect(await connections()).toBe(1)
  }
  await until('it is gone', async () => (await connections()) === 0)
})
