import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addLane, type TestLane } from '../../test/fixtures/lanes.ts'
import { makeTidy } from './tidy.ts'

let database: TestDatabase
let lane: TestLane
let nowMs = 0
const warn = vi.fn()
const tidy = () => makeTidy({ pool: database.pool, log: { warn }, nowMs: () => nowMs })

beforeAll(async () => {
  database = await openTestDatabase()
})
beforeEach(async () => {
  await database.empty()
  lane = await addLane(database.pool, await database.addOrg(), ['chat.*'])
  warn.mockClear()
})
afterAll(() => database[Symbol.asyncDispose]())

/** As many deliveries come and go. */
async function turnOver(count: number): Promise<void> {
  await database.pool.query(
    `insert into patchbay.delivery_queue (org_id, subscription_id, event_id)
     select $1, $2, patchbay.new_id() from generate_series(1, $3)`,
    [lane.orgId, lane.subscriptionId, count],
  )
  await database.pool.query('delete from patchbay.delivery_queue')
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
    return rows[0]['QUERY PLAN'][0].Plan['Shared Hit Blocks']
  } finally {
    await client.query('rollback')
    client.release()
  }
}

describe(makeTidy, () => {
  test('takes what is gone out of the way of claims, each 20,000 outcomes', async () => {
    await turnOver(30_000)
    const { recorded, settled } = tidy()
    recorded(19_999)
    await settled()
    expect(await pagesOfALook()).toBeGreaterThan(100)
    recorded(1)
    await settled()
    expect(await pagesOfALook()).toBeLessThan(10)
    expect(warn).not.toHaveBeenCalled()
  })

  test('tells of rows that a snapshot keeps, once a minute', async () => {
    const reader = await database.pool.connect()
    try {
      await reader.query('begin isolation level repeatable read')
      await reader.query('select count(*) from patchbay.orgs')
      await turnOver(30_000)
      const { recorded, settled } = tidy()
      for (const atMs of [0, 30_000, 61_000]) {
        nowMs = atMs
        recorded(20_000)
        await settled()
      }
      expect(warn.mock.calls).toEqual([
        [{ kept_rows: 30_000 }, 'queue.snapshot_held'],
        [{ kept_rows: 30_000 }, 'queue.snapshot_held'],
      ])
    } finally {
      await reader.query('rollback')
      reader.release()
    }
  })

  test('does not wait for a vacuum that another has begun', async () => {
    const other = await database.pool.connect()
    try {
      await turnOver(30_000)
      await other.query('begin; lock table patchbay.delivery_queue in share update exclusive mode')
      const { recorded, settled } = tidy()
      recorded(20_000)
      await settled()
      expect(warn).not.toHaveBeenCalled()
    } finally {
      await other.query('rollback')
      other.release()
    }
    expect(await pagesOfALook()).toBeGreaterThan(100)
  })

  test('says why it could not, and tries again a minute later', async () => {
    const error = new Error('no')
    let tries = 0
    const connect = () => {
      tries += 1
      return Promise.reject(error)
    }
    const pool = { connect } as unknown as TestDatabase['pool']
    const { recorded, settled } = makeTidy({ pool, log: { warn }, nowMs: () => nowMs })
    for (const atMs of [0, 59_000, 61_000]) {
      nowMs = atMs
      recorded(20_000)
      await settled()
    }
    expect(tries).toBe(2)
    expect(warn.mock.calls[0]).toEqual([{ err: error }, 'queue.not_tidied'])
  })

  test('takes a twentieth of the time at most', async () => {
    let took = 0
    const query = (text: string) => {
      if (text.startsWith('vacuum')) {
        took += 1
        nowMs += 500
      }
      return Promise.resolve({ rows: [] })
    }
    const client = { query, release: () => undefined }
    const pool = { connect: () => Promise.resolve(client) } as unknown as TestDatabase['pool']
    const { recorded, settled } = makeTidy({ pool, log: { warn }, nowMs: () => nowMs })
    for (const afterMs of [0, 9_000, 1_000]) {
      nowMs += afterMs
      recorded(20_000)
      await settled()
    }
    expect(took).toBe(2)
  })
})
