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
