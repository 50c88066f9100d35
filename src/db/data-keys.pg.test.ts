import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { until } from '../../test/fixtures/process.ts'
import { makeDataKeyStore, makeRewrapStore } from './data-keys.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(() => database.pool.query('truncate patchbay.data_keys'))

const keyOf = (masterKeyId: string) => ({ id: randomUUID(), wrapped: randomBytes(60), masterKeyId })
const START = { orgId: '', id: '00000000-0000-0000-0000-000000000000' }

async function isWaitingForLock(): Promise<boolean> {
  const { rows } = await database.pool.query(
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  )
  return rows.length > 0
}

test('the newest key comes first', async () => {
  const store = makeDataKeyStore(database.pool)
  const keys = [keyOf('m'), keyOf('m'), keyOf('m')]
  await store.addFirst(keyOf('m'))
  for (const key of keys) expect(await store.add('acme', key, 'm')).toBe(true)
  expect(await store.list('acme')).toEqual(keys.toReversed())
  expect(await store.list('nobody')).toEqual([])
})

test('the installation has one first key, however many are added at once', async () => {
  const store = makeDataKeyStore(database.pool)
  await Promise.all(Array.from({ length: 10 }, () => store.addFirst(keyOf('m'))))
  const [first, ...others] = await store.list('')
  expect(others).toEqual([])
  await store.addFirst(keyOf('other'))
  expect(await store.list('')).toEqual([first])
})

test('samples are one data key of each master key, the newest of the installation first, with how many there are', async () => {
  const store = makeDataKeyStore(database.pool)
  await store.addFirst(keyOf('m1'))
  const own = keyOf('m1')
  await store.add('', own, 'm1')
  await store.add('a', keyOf('m1'), 'm1')
  const other = keyOf('m2')
  await store.add('b', other, 'm1')
  expect(await store.samples()).toEqual([
    { ...own, orgId: '', count: 3 },
    { ...other, orgId: 'b', count: 1 },
  ])
})

test('a key is added only while one of the installation is wrapped by the same master key', async () => {
  const store = makeDataKeyStore(database.pool)
  await store.addFirst(keyOf('new'))
  expect(await store.add('acme', keyOf('old'), 'old')).toBe(false)
  expect(await store.list('acme')).toEqual([])
  expect(await store.add('acme', keyOf('new'), 'new')).toBe(true)
})

test('a key that meets a rotation waits for it, and is not added', async () => {
  const own = keyOf('old')
  await makeDataKeyStore(database.pool).addFirst(own)
  const client = await database.pool.connect()
  await client.query('begin')
  const now = { wrapped: randomBytes(60), masterKeyId: 'new' }
  expect(await makeRewrapStore(client).replace({ ...own, orgId: '' }, now)).toBe(true)
  const adding = makeDataKeyStore(database.pool).add('acme', keyOf('old'), 'old')
  await until('it waits', isWaitingForLock)
  await client.query('commit')
  client.release()
  expect(await adding).toBe(false)
})

test('a rotation waits for a key that is being added, and then finds it', async () => {
  const own = keyOf('old')
  await makeDataKeyStore(database.pool).addFirst(own)
  const client = await database.pool.connect()
  await client.query('begin')
  const late = keyOf('old')
  expect(await makeDataKeyStore(client).add('acme', late, 'old')).toBe(true)
  const { replace, listOutdated } = makeRewrapStore(database.pool)
  const now = { wrapped: randomBytes(60), masterKeyId: 'new' }
  const replacing = replace({ ...own, orgId: '' }, now)
  await until('it waits', isWaitingForLock)
  await client.query('commit')
  client.release()
  expect(await replacing).toBe(true)
  expect(await listOutdated('new', START, 10)).toEqual([{ ...late, orgId: 'acme' }])
})

test('a row that was changed since it was read is not overwritten', async () => {
  const store = makeDataKeyStore(database.pool)
  const { replace, count } = makeRewrapStore(database.pool)
  const own = { ...keyOf('old'), orgId: '' }
  await store.addFirst(own)
  const now = { wrapped: randomBytes(60), masterKeyId: 'new' }
  expect(await replace(own, now)).toBe(true)
  expect(await replace(own, { ...now, wrapped: randomBytes(60) })).toBe(false)
  expect(await store.list('')).toEqual([{ id: own.id, ...now }])
  expect(await count('new')).toEqual({ total: 1, outdated: 0 })
  expect(await count('newer')).toEqual({ total: 1, outdated: 1 })
})

test('what is outdated comes page by page, the installation first', async () => {
  const store = makeDataKeyStore(database.pool)
  const { listOutdated } = makeRewrapStore(database.pool)
  for (const orgId of ['B', 'a', '0', 'é']) {
    if (orgId === 'B') await store.addFirst(keyOf('old'))
    await store.add(orgId, keyOf('old'), 'old')
  }
  const seen: string[] = []
  let after = START
  for (;;) {
    const page = await listOutdated('new', after, 2)
    seen.push(...page.map(({ orgId }) => orgId))
    after = page.at(-1) ?? after
    if (page.length < 2) break
  }
  expect(seen[0]).toBe('')
  expect(seen.toSorted()).toEqual(['', '0', 'B', 'a', 'é'].toSorted())
})
