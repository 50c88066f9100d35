import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addLane } from '../../test/fixtures/lanes.ts'
import { emit } from './emit.ts'
import { fanOut, makeRelay } from './relay.ts'

let database: TestDatabase
let orgId: string
beforeAll(async () => {
  database = await openTestDatabase()
})
beforeEach(async () => {
  await database.pool.query(
    'truncate patchbay.orgs, patchbay.delivery_queue, patchbay.outbox_events, patchbay.outbox_pending cascade',
  )
  orgId = await database.addOrg()
})
afterAll(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows

describe(fanOut, () => {
  test.each([
    [['chat.turn.completed'], true],
    [['chat.*'], true],
    [['chat.turn.*'], true],
    [['*'], true],
    [['tool.*', 'chat.turn.completed'], true],
    [['chat'], false],
    [['chat.turn'], false],
    [['chat.turn.completed.*'], false],
    [['cha.*'], false],
    [['CHAT.*'], false],
  ])('a subscription to %j gets chat.turn.completed: %s', async (eventTypes, isWanted) => {
    const lane = await addLane(database.pool, orgId, eventTypes)
    await query(`select patchbay.emit_event($1, 'chat.turn.completed', '{}')`, [orgId])
    expect(await fanOut(database.pool, 10)).toMatchObject({
      events: 1,
      deliveries: isWanted ? 1 : 0,
    })
    const rows = await query('select subscription_id from patchbay.delivery_queue')
    expect(rows).toEqual(isWanted ? [{ subscription_id: lane.subscriptionId }] : [])
  })

  test.each([
    ['an inactive subscription', 'update patchbay.webhook_subscriptions set is_active = false'],
    ['a deleted subscription', 'update patchbay.webhook_subscriptions set deleted_at = now()'],
    ['a disabled integration', 'update patchbay.org_integrations set is_enabled = false'],
    ['a deleted integration', 'update patchbay.org_integrations set deleted_at = now()'],
  ])('%s gets nothing', async (_, statement) => {
    await addLane(database.pool, orgId)
    await query(statement)
    // Disabling is an event itself.
    await query('delete from patchbay.outbox_pending')
    await emit(database.pool, { orgId, type: 'a', data: {} })
    expect(await fanOut(database.pool, 10)).toMatchObject({ events: 1, deliveries: 0 })
    expect(await fanOut(database.pool, 10)).toMatchObject({ events: 0, deliveries: 0 })
  })

  test('another org gets nothing', async () => {
    await addLane(database.pool, await database.addOrg())
    await emit(database.pool, { orgId, type: 'a', data: {} })
    expect(await fanOut(database.pool, 10)).toMatchObject({ events: 1, deliveries: 0 })
  })

  test('several relays at once never double and never lose', async () => {
    await addLane(database.pool, orgId)
    await addLane(database.pool, orgId)
    await query(`select patchbay.emit_event($1, 'a', '{}') from generate_series(1, 200)`, [orgId])
    const drain = async () => {
      while ((await fanOut(database.pool, 7)).events > 0);
    }
    await Promise.all([drain(), drain(), drain(), drain()])
    await drain()
    expect(
      await query(
        `select count(*)::int as rows, count(distinct (subscription_id, event_id))::int as pairs from patchbay.delivery_queue`,
      ),
    ).toEqual([{ rows: 400, pairs: 400 }])
  })

  test('takes no more than its limit', async () => {
    await query(`select patchbay.emit_event($1, 'a', '{}') from generate_series(1, 5)`, [orgId])
    expect(await fanOut(database.pool, 3)).toMatchObject({ events: 3 })
    expect(await fanOut(database.pool, 3)).toMatchObject({ events: 2 })
  })

  test('a batch ends where it would write more deliveries than it may, and takes one event at least', async () => {
    for (let i = 0; i < 4; i += 1) await addLane(database.pool, orgId, ['a', '*'])
    await query(`select patchbay.emit_event($1, 'a', '{}') from generate_series(1, 3)`, [orgId])
    const batch = (maxDeliveries: number) => fanOut(database.pool, 100, { maxDeliveries })
    expect(await batch(3)).toMatchObject({ events: 1, deliveries: 4 })
    expect(await batch(9)).toMatchObject({ events: 2, deliveries: 8 })
    expect(await batch(9)).toMatchObject({ events: 0, deliveries: 0 })
  })

  test('an org with much to fan out does not hold up the others', async () => {
    for (let i = 0; i < 10; i += 1) await addLane(database.pool, orgId)
    await query(`select patchbay.emit_event($1, 'a', '{}') from generate_series(1, 50)`, [orgId])
    const quiet = await Promise.all([1, 2, 3].map(() => database.addOrg()))
    for (const org of quiet) {
      await addLane(database.pool, org)
      await query(`select patchbay.emit_event($1, 'a', '{}')`, [org])
    }
    const queuedOf = async () =>
      (await query('select distinct org_id from patchbay.delivery_queue')).map((row) => row.org_id)
    expect(await fanOut(database.pool, 100, { maxDeliveries: 10 })).toMatchObject({ events: 4 })
    expect(await queuedOf()).toEqual(expect.arrayContaining([orgId, ...quiet]))
  })

  test('goes on with the orgs that the last batch did not come to, and then from the first', async () => {
    const orgs = [orgId, await database.addOrg(), await database.addOrg()]
    for (const org of orgs) {
      await addLane(database.pool, org)
      await query(`select patchbay.emit_event($1, 'a', '{}') from generate_series(1, 3)`, [org])
    }
    const relay = makeRelay(database.pool, { maxOrgs: 2 })
    const rounds: number[] = []
    for (let round = 0; round < 6; round += 1) rounds.push((await relay(2)).events)
    // One of each of the first two, two of the third that is alone, and again.
    expect(rounds).toEqual([2, 2, 2, 1, 2, 0])
  })

  test('of a page that others hold all of rests, and goes on with the next one', async () => {
    const orgs = [await database.addOrg(), await database.addOrg()].toSorted()
    for (const org of orgs) await emit(database.pool, { orgId: org, type: 'a', data: {} })
    const other = await database.pool.connect()
    try {
      await other.query('begin')
      await other.query('select from patchbay.outbox_pending where org_id = $1 for update', [
        orgs[0],
      ])
      const relay = makeRelay(database.pool, { maxOrgs: 1 })
      expect(await relay(10)).toMatchObject({ events: 0, isCut: false })
      expect(await relay(10)).toMatchObject({ events: 1 })
    } finally {
      await other.query('rollback')
      other.release()
    }
  })

  test('drops what is pending of an event that is gone', async () => {
    await addLane(database.pool, orgId)
    await query(
      'insert into patchbay.outbox_pending (event_id, org_id) values (patchbay.new_id(), $1)',
      [orgId],
    )
    expect(await fanOut(database.pool, 10)).toMatchObject({ events: 1, deliveries: 0 })
    expect(await fanOut(database.pool, 10)).toMatchObject({ events: 0, deliveries: 0 })
  })

  test('says whether it was cut: by its size, or by what it would write', async () => {
    await addLane(database.pool, orgId)
    await addLane(database.pool, orgId)
    for (let n = 0; n < 4; n += 1) await emit(database.pool, { orgId, type: 'a', data: {} })
    expect(await fanOut(database.pool, 2)).toMatchObject({ events: 2, isCut: true })
    expect(await fanOut(database.pool, 10, { maxDeliveries: 2 })).toMatchObject({
      events: 1,
      isCut: true,
    })
    expect(await fanOut(database.pool, 10)).toMatchObject({ events: 1, isCut: false })
    expect(await fanOut(database.pool, 10)).toMatchObject({ events: 0, isCut: false })
  })
})
