import { afterAll, beforeEach, expect, test } from 'vitest'
import { openTestDatabase } from '../../test/fixtures/database.ts'
import { forgetWindows, makeCount } from './count.ts'
import { makeLimiter } from './limiter.ts'

const database = await openTestDatabase()
afterAll(() => database[Symbol.asyncDispose]())
const { pool } = database
beforeEach(() => pool.query('truncate patchbay.rate_limits'))

const MINUTE = 60_000
const log = { warn: () => undefined }

function startProcess() {
  return makeLimiter({ count: makeCount(pool), nowMs: () => performance.now(), log })
}

test('points of all processes come together in one window', async () => {
  const [one, other] = [makeCount(pool), makeCount(pool)]
  const first = await one('key', 3, MINUTE)
  expect(first).toEqual({
    total: 3,
    resetMs: expect.toSatisfy((ms) => ms > 50_000 && ms <= MINUTE),
  })
  expect(await other('key', 4, MINUTE)).toMatchObject({ total: 7 })
  expect(await other('another', 1, MINUTE)).toMatchObject({ total: 1 })
})

test('a limit holds over processes that take at the same moment', async () => {
  const processes = [startProcess(), startProcess(), startProcess()]
  const limit = { points: 20, windowMs: MINUTE }
  const verdicts = await Promise.all(
    Array.from({ length: 90 }, (_, at) => processes[at % 3]?.('key', limit)),
  )
  const allowed = verdicts.filter((verdict) => verdict?.isAllowed)
  expect(allowed.length).toBe(20)
})

test('a window that a wrong clock opened far ahead begins anew', async () => {
  const count = makeCount(pool)
  await count('key', 1000, MINUTE)
  await pool.query('update patchbay.rate_limits set expire = expire + 86400000')
  expect(await count('key', 1, MINUTE)).toEqual({ total: 1, resetMs: MINUTE })
  expect(await count('key', 1, MINUTE)).toMatchObject({ total: 2 })
})

test('keys are stored as digests, and forgotten an hour after their window', async () => {
  const count = makeCount(pool)
  await count('principal/ada@example.com', 1, MINUTE)
  const { rows } = await pool.query('select key, expire from patchbay.rate_limits')
  expect(rows).toEqual([{ key: expect.stringMatching(/^[\w-]{43}$/), expire: expect.any(String) }])
  await forgetWindows(pool, Number(rows[0].expire) + 3_600_000)
  expect((await pool.query('select from patchbay.rate_limits')).rowCount).toBe(1)
  await forgetWindows(pool, Number(rows[0].expire) + 3_600_001)
  expect((await pool.query('select from patchbay.rate_limits')).rowCount).toBe(0)
})

test('a database that is gone is no refusal', async () => {
  const gone = await openTestDatabase()
  await gone[Symbol.asyncDispose]()
  let warnings = 0
  const warn = () => {
    warnings += 1
  }
  const take = makeLimiter({
    count: makeCount(gone.pool),
    nowMs: () => performance.now(),
    log: { warn },
  })
  const limit = { points: 1, windowMs: MINUTE }
  expect([await take('key', limit), await take('key', limit)]).toMatchObject([
    { isAllowed: true },
    { isAllowed: true },
  ])
  expect(warnings).toBe(1)
})
