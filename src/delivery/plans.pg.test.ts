import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { CLAIM, fillHot, growthProblem, HOT_STATEMENTS, planProblem } from '../../test/plans/hot.ts'
import { HOT_SETTINGS } from '../db/hot-settings.ts'
import type { Queryable } from '../db/pool.ts'
import { claimDue } from './claim.ts'

let database: TestDatabase
let client: pg.PoolClient
beforeAll(async () => {
  database = await openTestDatabase()
  client = await database.pool.connect()
  await fillHot(client, 100_000)
})
afterAll(async () => {
  client.release()
  await database[Symbol.asyncDispose]()
})

describe.each([
  ['for its values', false],
  ['for any values', true],
])('the plan %s', (_mode, isGeneric) => {
  test.each(HOT_STATEMENTS)('of $name uses $uses and scans no whole table', async (statement) => {
    expect(await planProblem(client, statement, isGeneric)).toBeNull()
  })
})

/** Their plans are kept until statistics change: those of a queue that was never full, or that a vacuum has seen at any moment since. */
const KEPT = HOT_STATEMENTS.filter(({ settings }) => settings === undefined)

test.each(KEPT)(
  'a plan that was made for a queue that holds much, of $name, compares nothing row by row',
  async (statement) => {
    expect(await growthProblem(client, statement)).toBeNull()
  },
)

describe.each([
  ['that never held anything', 0],
  ['that held little when it was vacuumed', 2000],
])('a plan that was made for a queue %s', (_what, rows) => {
  let other: TestDatabase
  let idle: pg.PoolClient
  beforeAll(async () => {
    other = await openTestDatabase()
    idle = await other.pool.connect()
    if (rows > 0) await fillHot(idle, rows)
    await idle.query('vacuum analyze')
  })
  afterAll(async () => {
    idle.release()
    await other[Symbol.asyncDispose]()
  })

  test.each(KEPT)(
    'of $name holds for any: it looks up what it needs, and compares nothing row by row',
    async (statement) => {
      expect(await growthProblem(idle, statement)).toBeNull()
    },
  )
})

test('a claim reads about as many rows of the queue as it takes', async () => {
  for (const setting of HOT_SETTINGS) await client.query(`set ${setting}`)
  await client.query('begin')
  const { deliveries } = await claimDue(client, CLAIM)
  expect(deliveries).toHaveLength(512)
  await client.query('rollback')
  const text: string[] = []
  const values: unknown[] = []
  await claimDue(
    {
      query: async (config: pg.QueryConfig) => {
        text.push(config.text)
        values.push(...(config.values ?? []))
        return { rows: [] }
      },
    } as unknown as Queryable,
    CLAIM,
  )
  await client.query('begin')
  const { rows } = await client.query(`explain (analyze, buffers, format json) ${text[0]}`, values)
  await client.query('rollback')
  const [{ Plan: plan }] = rows[0]['QUERY PLAN']
  expect(plan['Shared Hit Blocks'] + plan['Shared Read Blocks']).toBeLessThan(20_000)
})
