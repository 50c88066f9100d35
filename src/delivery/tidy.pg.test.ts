import type { PoolClient } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import { vacuumQueue } from './tidy.ts'

let database: TestDatabase
let lane: TestLane
beforeAll(async () => {
  database = await openTestDatabase()
  await database.pool.query('alter table patchbay.delivery_queue set (autovacuum_enabled = off)')
})
beforeEach(async () => {
  await database.empty()
  lane = await addLane(database.pool, await database.addOrg(), ['chat.*'])
})
afterAll(() => database[Symbol.asyncDispose]())

/** As many deliveries come and go; the statistics know it. */
async function turnOver(count: number): Promise<void> {
  const client = await database.pool.connect()
  try {
    await client.query(
      `insert into patchbay.delivery_queue (org_id, subscription_id, event_id)
       select $1, $2, patchbay.new_id() from generate_series(1, $3)`,
      [lane.orgId, lane.subscriptionId, count],
    )
    await client.query('delete from patchbay.delivery_queue')
    await client.query('select pg_stat_force_next_flush()')
  } finally {
    client.release()
  }
}

/** What a claim goes past to find that there is nothing: pages of the index and of the table. */
async function pagesOfALook(): Promise<number> {
  const client = await database.pool.connect()
  try {
    await client.query('begin; set local enable_seqscan = off; set local enable_bitmapscan = off')
    const { rows } = await client.query(
      `explain (analyze, buffers, format json)
       select q.subscription_id from patchbay.delivery_queue as q where q.ready order by q.subscription_id limit 1`,
    )
    const [{ Plan: plan }] = rows[0]['QUERY PLAN']
    return plan['Shared Hit Blocks'] + plan['Shared Read Blocks']
  } finally {
    await client.query('rollback')
    client.release()
  }
}

async function beside<Result>(sql: string, work: () => Promise<Result>): Promise<Result> {
  const other: PoolClient = await database.pool.connect()
  try {
    await other.query(sql)
    return await work()
  } finally {
    other.release(true)
  }
}

describe(vacuumQueue, () => {
  test('takes what is gone out of the way of claims', async () => {
    await turnOver(30_000)
    expect(await pagesOfALook()).toBeGreaterThan(100)
    expect(await vacuumQueue(database.pool)).toBe(0)
    expect(await pagesOfALook()).toBeLessThan(10)
  })

  test('leaves a queue alone in which little is dead', async () => {
    await turnOver(10_000)
    expect(await vacuumQueue(database.pool)).toBeNull()
  })

  test('says how many rows somebody’s snapshot made it leave', async () => {
    const left = await beside(
      'begin isolation level repeatable read; select count(*) from patchbay.orgs',
      async () => {
        await turnOver(30_000)
        return vacuumQueue(database.pool)
      },
    )
    expect(left).toBe(30_000)
  })

  test.each([
    ['another worker is at it', `select pg_advisory_lock(hashtext('patchbay.tidy'))`],
    [
      'autovacuum is at it',
      'begin; lock table patchbay.delivery_queue in share update exclusive mode',
    ],
  ])('waits for nobody where %s, and leaves the next one free to', async (_who, sql) => {
    await turnOver(30_000)
    expect(await beside(sql, () => vacuumQueue(database.pool))).toBeNull()
    expect(await pagesOfALook()).toBeGreaterThan(100)
    await expect.poll(() => vacuumQueue(database.pool)).toBe(0)
  })
})
