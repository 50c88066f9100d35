import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { emit } from './emit.ts'

let database: TestDatabase
let orgId: string

beforeAll(async () => {
  database = await openTestDatabase()
  orgId = await database.addOrg()
})
afterAll(() => database[Symbol.asyncDispose]())

async function events(): Promise<number> {
  const { rows } = await database.pool.query(
    'select count(*)::int as n from patchbay.outbox_events',
  )
  return rows[0].n
}

describe(emit, () => {
  test('data keeps its bytes', async () => {
    const data = '{"b":1, "a" : 1.0,\n"big":12345678901234567890, "s":"\\u00e4ä"}'
    const id = await emit(database.pool, { orgId, type: 'a.b', data })
    const { rows } = await database.pool.query(
      'select data::text as text from patchbay.outbox_events where id = $1',
      [id],
    )
    expect(rows[0].text).toBe(data)
  })

  test('a transaction that rolls back leaves nothing', async () => {
    const before = await events()
    const client = await database.pool.connect()
    await client.query('begin')
    await emit(client, { orgId, type: 'a.b', data: {}, idempotencyKey: 'rolled-back' })
    await client.query('rollback')
    client.release()
    expect(await events()).toBe(before)
  })

  test.each([
    ['a type of wrong grammar', { type: 'a..b', data: {} }, 'INVALID_BODY', 'type'],
    ['data that is an array', { type: 'a', data: '[]' }, 'INVALID_BODY', 'data'],
    ['data that is not JSON', { type: 'a', data: '{"a":' }, 'INVALID_BODY', 'data'],
    [
      'data over 256 KiB',
      { type: 'a', data: { a: 'x'.repeat(262_144) } },
      'PAYLOAD_TOO_LARGE',
      'data',
    ],
    [
      'an empty conversation id',
      { type: 'a', data: {}, conversationId: '' },
      'INVALID_BODY',
      'conversationId',
    ],
    ['an org that does not exist', { type: 'a', data: {}, orgId: 'nobody' }, 'NOT_FOUND', 'org_id'],
  ])('%s is refused with its field, and nothing is written', async (_, input, code, path) => {
    const before = await events()
    await expect(emit(database.pool, { orgId, ...input })).rejects.toMatchObject({
      code,
      details: [{ path }],
    })
    expect(await events()).toBe(before)
  })

  test('the same idempotency key returns the first id and records one event', async () => {
    const before = await events()
    const event = { orgId, type: 'a', data: {}, idempotencyKey: 'once' }
    const ids = await Promise.all([1, 2, 3, 4].map(() => emit(database.pool, event)))
    expect(new Set(ids).size).toBe(1)
    expect(await events()).toBe(before + 1)
  })
})

describe('an idempotency key', () => {
  const once = (key: string) => ({ orgId, type: 'a', data: {}, idempotencyKey: key })

  test('that two transactions race for is the first one’s that commits; the other waits and gets its id', async () => {
    const before = await events()
    const [first, second] = [await database.pool.connect(), await database.pool.connect()]
    await first.query('begin')
    await second.query('begin')
    const id = await emit(first, once('raced'))
    const waiting = emit(second, once('raced'))
    await first.query('commit')
    expect(await waiting).toBe(id)
    await second.query('commit')
    first.release()
    second.release()
    expect(await events()).toBe(before + 1)
  })

  test('goes to the second where the first rolls back', async () => {
    const before = await events()
    const [first, second] = [await database.pool.connect(), await database.pool.connect()]
    await first.query('begin')
    await second.query('begin')
    const lost = await emit(first, once('taken over'))
    const waiting = emit(second, once('taken over'))
    await first.query('rollback')
    const id = await waiting
    await second.query('commit')
    first.release()
    second.release()
    expect(id).not.toBe(lost)
    expect(await emit(database.pool, once('taken over'))).toBe(id)
    expect(await events()).toBe(before + 1)
  })

  test('is one org’s own', async () => {
    const other = await database.addOrg()
    const id = await emit(database.pool, once('shared'))
    expect(await emit(database.pool, { ...once('shared'), orgId: other })).not.toBe(id)
  })

  test.each([
    ['an org that is gone', `'gone'`],
    ['no org', 'null'],
  ])('of %s is refused as one without', async (_, org) => {
    await database.pool.query(
      `insert into patchbay.outbox_keys (org_id, key, event_id, expires_at)
       values ('gone', 'kept', patchbay.new_id(), now() + interval '1 day') on conflict do nothing`,
    )
    await expect(
      database.pool.query(`select patchbay.emit_event(${org}, 'a', '{}', null, 'kept')`),
    ).rejects.toMatchObject({ code: 'PB004' })
  })

  test('is forgotten after seven days, and may then be used again', async () => {
    const id = await emit(database.pool, once('old'))
    const expiry = await database.pool.query(
      `select extract(epoch from expires_at - now())::int as s from patchbay.outbox_keys where key = 'old'`,
    )
    expect(expiry.rows[0].s).toBeCloseTo(7 * 86_400, -2)
    await database.pool.query(
      `update patchbay.outbox_keys set expires_at = now() where key = 'old'`,
    )
    expect(await emit(database.pool, once('old'))).not.toBe(id)
  })
})

describe('data of a type in the catalogue', () => {
  test('that does not fit its schema is refused with its member, and nothing is written', async () => {
    const before = await events()
    await expect(
      emit(database.pool, { orgId, type: 'tool.exec.success', data: { tool: 'a', runId: 'x' } }),
    ).rejects.toMatchObject({ code: 'INVALID_BODY', details: [{ path: 'data.runId' }] })
    expect(await events()).toBe(before)
  })
})

describe('patchbay.emit_event', () => {
  test.each([
    [`'', '{}'`, 'PB001'],
    [`repeat('a', 129), '{}'`, 'PB001'],
    [`'a', '[]'`, 'PB002'],
    [`'a', null`, 'PB002'],
    [`'a', ('{"a":"' || repeat('x', 262144) || '"}')::json`, 'PB003'],
    [`'a', '{}', repeat('c', 257)`, 'PB005'],
  ])('refuses (org, %s)', async (args, code) => {
    const before = await events()
    await expect(
      database.pool.query(`select patchbay.emit_event('${orgId}', ${args})`),
    ).rejects.toMatchObject({ code })
    expect(await events()).toBe(before)
  })
})
