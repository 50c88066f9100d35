import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addLane } from '../../test/fixtures/lanes.ts'
import { makeLog } from '../telemetry/log.ts'
import { makeMaintain } from './retention.ts'

let database: TestDatabase
let orgId: string
beforeEach(async () => {
  database = await openTestDatabase()
  orgId = await database.addOrg()
})
afterEach(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows
const maintain = (retentionDays: number) =>
  makeMaintain({ db: database.pool, log: makeLog('silent'), retentionDays })()

describe('what came in from an app', () => {
  async function addArrivals(
    arrivals: readonly (readonly [key: string, ageDays: number, state: string])[],
  ) {
    const { integrationId } = await addLane(database.pool, orgId)
    for (const [key, ageDays, state] of arrivals) {
      await query(
        `insert into patchbay.inbound_events (org_id, integration_id, key, state, created_at)
         values ($1, $2, $3, $4, now() - make_interval(days => $5))`,
        [orgId, integrationId, key, state, ageDays],
      )
    }
  }
  const keys = async () =>
    (await query('select key from patchbay.inbound_events order by key')).map(({ key }) => key)

  test('is forgotten after the retention, and what still waits is not', async () => {
    await addArrivals([
      ['answered', 31, 'done'],
      ['given up', 31, 'failed'],
      ['recent', 29, 'done'],
      ['waiting', 31, 'waiting'],
    ])
    await maintain(30)
    expect(await keys()).toEqual(['recent', 'waiting'])
  })

  test('is known for two days however short the retention is', async () => {
    await addArrivals([
      ['of three days ago', 3, 'done'],
      ['of yesterday', 1, 'done'],
    ])
    await maintain(1)
    expect(await keys()).toEqual(['of yesterday'])
  })
})

test('an install that nobody finished is forgotten when its time is over', async () => {
  for (const [userId, minutes] of [
    ['gave up', -1],
    ['is at it', 5],
  ]) {
    await query(
      `insert into patchbay.app_installs (hash, org_id, user_id, browser_hash, expires_at)
       values ($1, $2, $3, $1, now() + make_interval(mins => $4))`,
      [randomBytes(32), orgId, userId, minutes],
    )
  }
  await maintain(30)
  expect(await query('select user_id from patchbay.app_installs')).toEqual([
    { user_id: 'is at it' },
  ])
})
