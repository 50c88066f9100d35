import { inspect } from 'node:util'
import { PrismaPg } from '@prisma/adapter-pg'
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleProxy } from 'drizzle-orm/pg-proxy'
import { knex } from 'knex'
import { Kysely, sql as kyselySql, PostgresDialect } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { PrismaClient } from '../../test/fixtures/prisma/gen/client.ts'
import { fromDrizzle, fromKnex, fromKysely, fromPrisma } from './adapters.ts'
import { type EmitTransaction, type EventInput, emit } from './emit.ts'

/** A host's open transaction: what `emit` takes, and a write of the host's own through its library. */
interface Tx {
  readonly emitTx: EmitTransaction
  readonly addOrg: (id: string) => PromiseLike<unknown>
}

interface Host extends AsyncDisposable {
  /** Commits what `work` did, or rolls it back if `work` throws. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
}

const INSERT_ORG = 'insert into patchbay.orgs (id, name) values ($1, $1)'

/** A transaction on a client of its own, written out. */
function makePgHost(url: string, asTx: (client: pg.PoolClient) => Tx): Host {
  const pool = new pg.Pool({ connectionString: url })
  return {
    transaction: async (work) => {
      const client = await pool.connect()
      try {
        await client.query('begin')
        const result = await work(asTx(client))
        await client.query('commit')
        return result
      } catch (error) {
        await client.query('rollback')
        throw error
      } finally {
        client.release()
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

function openPgHost(url: string): Host {
  return makePgHost(url, (client) => ({
    emitTx: client,
    addOrg: (id) => client.query(INSERT_ORG, [id]),
  }))
}

function openDrizzleHost(url: string): Host {
  const pool = new pg.Pool({ connectionString: url })
  const db = drizzle(pool)
  return {
    transaction: (work) =>
      db.transaction((tx) =>
        work({
          emitTx: fromDrizzle(tx, drizzleSql),
          addOrg: (id) =>
            tx.execute(drizzleSql`insert into patchbay.orgs (id, name) values (${id}, ${id})`),
        }),
      ),
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

/** Stands for the drivers with which Drizzle's `execute` gives the rows alone; it has no transactions of its own. */
function openDrizzleRowsHost(url: string): Host {
  return makePgHost(url, (client) => {
    const db = drizzleProxy((text, values) => client.query(text, values))
    return {
      emitTx: fromDrizzle(db, drizzleSql),
      addOrg: (id) => client.query(INSERT_ORG, [id]),
    }
  })
}

function openKyselyHost(url: string): Host {
  const pool = new pg.Pool({ connectionString: url })
  const db = new Kysely<{ orgs: { id: string; name: string } }>({
    dialect: new PostgresDialect({ pool }),
  }).withSchema('patchbay')
  return {
    transaction: (work) =>
      db.transaction().execute((trx) =>
        work({
          emitTx: fromKysely(trx, kyselySql),
          addOrg: (id) => trx.insertInto('orgs').values({ id, name: id }).execute(),
        }),
      ),
    [Symbol.asyncDispose]: () => db.destroy(),
  }
}

function openKnexHost(url: string): Host {
  const db = knex({ client: 'pg', connection: url, pool: { min: 0 } })
  return {
    transaction: (work) =>
      db.transaction((trx) =>
        work({
          emitTx: fromKnex(trx),
          addOrg: (id) => trx('orgs').withSchema('patchbay').insert({ id, name: id }),
        }),
      ),
    [Symbol.asyncDispose]: () => db.destroy(),
  }
}

function openPrismaHost(url: string): Host {
  const db = new PrismaClient({ adapter: new PrismaPg(url) })
  return {
    transaction: (work) =>
      db.$transaction((tx) =>
        work({
          emitTx: fromPrisma(tx),
          addOrg: (id) => tx.org.create({ data: { id, name: id } }),
        }),
      ),
    [Symbol.asyncDispose]: () => db.$disconnect(),
  }
}

/** An event without its org. */
type Input = Omit<EventInput, 'orgId'>

const BYTES = `{"b":1,  "a" : 1.0,\n\t"big":12345678901234567890, "s":"\\u00e4ä\\ud83d\\ude00😀 $1 ? ?? \\\\? :a '' \\"", "a":2 }`
const SECRET = 'only-the-receiver-may-see-this'

let database: TestDatabase

beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

describe.each([
  ['pg', openPgHost],
  ['Drizzle', openDrizzleHost],
  ['Drizzle with rows alone', openDrizzleRowsHost],
  ['Kysely', openKyselyHost],
  ['Knex', openKnexHost],
  ['Prisma', openPrismaHost],
])('emit in a transaction of %s', (_, open) => {
  let host: Host
  let orgId: string

  beforeAll(() => {
    host = open(database.url)
  })
  afterAll(() => host[Symbol.asyncDispose]())
  beforeEach(async () => {
    orgId = await database.addOrg()
  })

  function emitted(input: Input): Promise<string> {
    return host.transaction(({ emitTx }) => emit(emitTx, { orgId, ...input }))
  }

  test('text data keeps its bytes', async () => {
    const id = await emitted({ type: 'turn.completed', data: BYTES })
    expect(await eventsOf(orgId)).toMatchObject([{ id, type: 'turn.completed', data: BYTES }])
    expect(await countsOf(orgId)).toEqual({ events: 1, pending: 1, keys: 0 })
  })

  test('object data is recorded as its JSON', async () => {
    const data = { text: 'ä "quoted" \u0001', list: [1.5, null, { deep: true }], none: undefined }
    await emitted({ type: 'turn.completed', data })
    expect(await eventsOf(orgId)).toMatchObject([{ data: JSON.stringify(data) }])
  })

  test('data of 256 KiB is recorded', async () => {
    const data = big(262_144)
    await emitted({ type: 'turn.completed', data })
    expect(await eventsOf(orgId)).toMatchObject([{ data }])
  })

  test('what comes with an event arrives', async () => {
    const input = {
      type: 'turn.completed',
      data: {},
      conversationId: 'conversation 1 ä $2 ?',
      idempotencyKey: 'key-1',
      occurredAt: new Date('2026-03-29T01:30:00.123Z'),
      traceParent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    }
    const id = await emitted(input)
    const { conversationId, occurredAt, traceParent } = input
    expect(await eventsOf(orgId)).toMatchObject([{ id, conversationId, occurredAt, traceParent }])
    const keys = 'select key, event_id as "eventId" from patchbay.outbox_keys where org_id = $1'
    expect((await database.pool.query(keys, [orgId])).rows).toEqual([{ key: 'key-1', eventId: id }])
    expect(await emitted(input)).toBe(id)
    expect(await countsOf(orgId)).toEqual({ events: 1, pending: 1, keys: 1 })
  })

  test('what is left out is null, and the time is now', async () => {
    await emitted({ type: 'turn.completed', data: {} })
    const nulls = { conversationId: null, traceParent: null }
    expect(await eventsOf(orgId)).toMatchObject([{ ...nulls, isOfNow: true }])
  })

  test('the host’s own write and the event of it commit together', async () => {
    const id = `new-${orgId}`
    await host.transaction(async ({ emitTx, addOrg }) => {
      await addOrg(id)
      await emit(emitTx, { orgId: id, type: 'org.created', data: {} })
    })
    expect(await countsOf(id)).toEqual({ events: 1, pending: 1, keys: 0 })
  })

  test('a transaction that rolls back leaves nothing', async () => {
    const failure = new Error('the host changes its mind')
    const transaction = host.transaction(async ({ emitTx }) => {
      await emit(emitTx, { orgId, type: 'turn.completed', data: {}, idempotencyKey: 'key-1' })
      throw failure
    })
    await expect(transaction).rejects.toBe(failure)
    expect(await countsOf(orgId)).toEqual({ events: 0, pending: 0, keys: 0 })
  })

  test('others see the event once the transaction has committed, and not before', async () => {
    await host.transaction(async ({ emitTx }) => {
      await emit(emitTx, { orgId, type: 'turn.completed', data: {}, idempotencyKey: 'key-1' })
      expect(await countsOf(orgId)).toEqual({ events: 0, pending: 0, keys: 0 })
    })
    expect(await countsOf(orgId)).toEqual({ events: 1, pending: 1, keys: 1 })
  })

  test('an event is one statement', async () => {
    const statements = await host.transaction(({ emitTx }) =>
      statementsOf(() => emit(emitTx, { orgId, type: 'turn.completed', data: {} })),
    )
    expect(statements).toEqual([expect.stringContaining('select patchbay.emit_event(')])
  })

  test.each<[string, Input, string, string]>([
    ['a type of wrong grammar', { type: 'a..b', data: {} }, 'INVALID_BODY', 'type'],
    ['data that is an array', { type: 'a', data: '[]' }, 'INVALID_BODY', 'data'],
    ['data that is not JSON', { type: 'a', data: '{"a":' }, 'INVALID_BODY', 'data'],
    ['too much data', { type: 'a', data: big(262_145) }, 'PAYLOAD_TOO_LARGE', 'data'],
  ])(
    '%s is refused without a statement, and the transaction goes on',
    async (_name, input, code, path) => {
      await host.transaction(async ({ emitTx }) => {
        const statements = await statementsOf(() =>
          expect(emit(emitTx, { orgId, ...input })).rejects.toMatchObject({
            name: 'AppError',
            code,
            details: [{ path }],
          }),
        )
        expect(statements).toEqual([])
        expect(await countsOf(orgId)).toEqual({ events: 0, pending: 0, keys: 0 })
        await emit(emitTx, { orgId, type: 'a', data: {} })
      })
      expect(await countsOf(orgId)).toEqual({ events: 1, pending: 1, keys: 0 })
    },
  )

  test.each<[string, Partial<EventInput>, string, string, string]>([
    [
      'an unknown org',
      { orgId: `o'b - as id - x` },
      'NOT_FOUND',
      'org_id',
      `there is no org 'o''b - as id - x'`,
    ],
    [
      'a trace parent that is too long',
      { traceParent: 't'.repeat(129) },
      'INVALID_BODY',
      'trace_parent',
      'must have at most 128 characters',
    ],
  ])(
    '%s is refused in the words of the database, which show no data',
    async (_name, input, code, path, message) => {
      const event = {
        orgId,
        type: 'a',
        data: { secret: SECRET },
        idempotencyKey: 'key-1',
        ...input,
      }
      const failure = await host
        .transaction(({ emitTx }) => emit(emitTx, event))
        .catch((error: unknown) => error)
      expect(failure).toMatchObject({
        name: 'AppError',
        code,
        message: `${path}: ${message}`,
        details: [{ path, message }],
      })
      expect(inspect(failure, { depth: null, showHidden: true })).not.toContain(SECRET)
      expect(await countsOf(event.orgId)).toEqual({ events: 0, pending: 0, keys: 0 })
    },
  )

  test('an error that is not emit’s passes as it is', async () => {
    const failure = host.transaction(async ({ emitTx }) => {
      await emit(emitTx, { orgId: `nobody-${orgId}`, type: 'a', data: {} }).catch(() => undefined)
      await emit(emitTx, { orgId, type: 'a', data: {} })
    })
    await expect(failure).rejects.not.toMatchObject({ name: 'AppError' })
    expect(await countsOf(orgId)).toEqual({ events: 0, pending: 0, keys: 0 })
  })
})

function big(bytes: number): string {
  return `{"a":"${'x'.repeat(bytes - 8)}"}`
}

async function eventsOf(orgId: string): Promise<unknown[]> {
  const { rows } = await database.pool.query(
    `select id, type, data::text as data, conversation_id as "conversationId", occurred_at as "occurredAt",
       trace_parent as "traceParent", abs(extract(epoch from occurred_at - now())) < 5 as "isOfNow"
     from patchbay.outbox_events where org_id = $1`,
    [orgId],
  )
  return rows
}

/** What every other connection sees of an org's events. */
async function countsOf(orgId: string): Promise<unknown> {
  const { rows } = await database.pool.query(
    `select (select count(*)::int from patchbay.outbox_events where org_id = $1) as events,
       (select count(*)::int from patchbay.outbox_pending where org_id = $1) as pending,
       (select count(*)::int from patchbay.outbox_keys where org_id = $1) as keys`,
    [orgId],
  )
  return rows[0]
}

/** The statements that go to the server meanwhile: under each of these libraries is a client of `pg`. */
async function statementsOf(work: () => Promise<unknown>): Promise<string[]> {
  using query = vi.spyOn(pg.Client.prototype, 'query')
  await work()
  return query.mock.calls.map(([statement]: [unknown, ...unknown[]]) => textOf(statement))
}

function textOf(statement: unknown): string {
  const isConfig = typeof statement === 'object' && statement !== null && 'text' in statement
  return String(isConfig ? statement.text : statement)
}
