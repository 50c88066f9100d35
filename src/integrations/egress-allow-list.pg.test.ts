import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addLane } from '../../test/fixtures/lanes.ts'
import { until } from '../../test/fixtures/process.ts'
import { loadLanes } from '../delivery/lane-row.ts'
import { makeEgressAllowLists } from './egress-allow-list.ts'

const ANN = actor('ann')
let database: TestDatabase
let orgId: string
let lists: ReturnType<typeof makeEgressAllowLists>
const audited: unknown[] = []

beforeAll(async () => {
  database = await openTestDatabase()
  lists = makeEgressAllowLists({
    inOrg: database.inOrg,
    audit: async (entry) => {
      audited.push(entry)
    },
  })
})
beforeEach(async () => {
  audited.length = 0
  orgId = await database.addOrg()
})
afterAll(() => database[Symbol.asyncDispose]())

const laneOf = async (subscriptionId: string) =>
  (await loadLanes(database.pool, [subscriptionId]))[0]

describe('the allow-list of an org', () => {
  test('is none, then what was put, then none again; each change is written down', async () => {
    expect(await lists.get(orgId)).toBeNull()
    expect(await lists.put(orgId, ['Example.com', 'example.com'], ANN)).toEqual(['example.com'])
    expect(await lists.get(orgId)).toEqual(['example.com'])
    await lists.put(orgId, [], ANN)
    expect(await lists.get(orgId)).toEqual([])
    await lists.put(orgId, null, ANN)
    expect(await lists.get(orgId)).toBeNull()
    const entry = { orgId, by: ANN, action: 'egress_allow_list.changed', target: orgId }
    expect(audited).toEqual([
      { ...entry, detail: { domains: ['example.com'] } },
      { ...entry, detail: { domains: [] } },
      { ...entry, detail: { domains: null } },
    ])
  })

  test('that is put again as it is has nothing opened anew', async () => {
    const { subscriptionId } = await addLane(database.pool, orgId)
    await lists.put(orgId, ['example.com'], ANN)
    const before = await laneOf(subscriptionId)
    await lists.put(orgId, ['EXAMPLE.com'], ANN)
    expect(await laneOf(subscriptionId)).toEqual(before)
  })

  test('takes host names only, and says which is none', async () => {
    const put = lists.put(orgId, ['example.com', '10.0.0.1'], ANN)
    await expect(put).rejects.toMatchObject({
      code: 'INVALID_BODY',
      details: [{ path: 'domains.1' }],
    })
    expect(await lists.get(orgId)).toBeNull()
  })

  test('comes with the lanes of the org and no other, which are opened again after each change', async () => {
    const mine = await addLane(database.pool, orgId)
    const theirs = await addLane(database.pool, await database.addOrg())
    for (const [domains, revision] of [
      [['a.example.com'], 2],
      [['b.example.com'], 3],
      [null, 4],
    ] as const) {
      await lists.put(orgId, domains, ANN)
      expect(await laneOf(mine.subscriptionId)).toMatchObject({
        egress_domains: domains,
        subscription_revision: revision,
      })
    }
    expect(await laneOf(theirs.subscriptionId)).toMatchObject({
      egress_domains: null,
      subscription_revision: 1,
    })
  })

  test('waits for a subscription that is being made, so that none is left with the list before', async () => {
    const { integrationId } = await addLane(database.pool, orgId)
    const client = await database.pool.connect()
    try {
      await client.query('begin')
      const { rows } = await client.query(
        `insert into patchbay.webhook_subscriptions (org_id, integration_id, url, event_types, secrets)
         values ($1, $2, 'https://hooks.example.com/', '{*}', '') returning id`,
        [orgId, integrationId],
      )
      const changed = lists.put(orgId, [], ANN)
      await until('the change waits', async () => {
        const waiting = await database.pool.query(
          `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
        )
        return waiting.rows.length > 0
      })
      await client.query('commit')
      await changed
      expect(await laneOf(rows[0].id)).toMatchObject({
        egress_domains: [],
        subscription_revision: 2,
      })
    } finally {
      client.release()
    }
  })

  test('goes with its org', async () => {
    await addLane(database.pool, orgId)
    await lists.put(orgId, ['example.com'], ANN)
    await database.pool.query('delete from patchbay.orgs where id = $1', [orgId])
    expect(await lists.get(orgId)).toBeNull()
  })
})
