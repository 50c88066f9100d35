import type pg from 'pg'
import { emit } from '../../../src/outbox/emit.ts'
import { EVENT_DATA, laneType, ORG } from '../body.ts'
import { asAdmin, openDatabase } from '../databases.ts'
import { PLAIN_TABLE } from '../host.ts'
import type { Part, Result, Stage } from '../part.ts'
import { median } from '../quantile.ts'

const CLIENTS = 16
const MANY = 2000

const PLAIN_INSERT = `
insert into public.plain_events (id, org_id, type, conversation_id, data, occurred_at, trace_parent)
values (patchbay.new_id(), $1, $2, $3, $4, coalesce($5, now()), $6)
returning id`

type Write = (client: pg.PoolClient) => Promise<unknown>

const emitOne: Write = (client) =>
  emit(client, { orgId: ORG, type: laneType(0), data: EVENT_DATA, conversationId: 'c1' })
const insertOne: Write = (client) =>
  client.query(PLAIN_INSERT, [ORG, laneType(0), 'c1', EVENT_DATA, null, null])

/**
 * What an emit adds to a host's transaction. The plain insert goes into a table that is neither partitioned nor has triggers, as a
 * host would make it by hand. Nobody relays meanwhile: both sides write and commit, and that is all.
 */
export const emitPart: Part = {
  name: 'emit',
  isOnce: true,
  measure: async (stage: Stage): Promise<Result[]> => {
    const { turns, turnMs } = stage.isQuick
      ? { turns: 4, turnMs: 300 }
      : { turns: 16, turnMs: 1000 }
    await using database = await openDatabase(stage, 'emit', { connections: CLIENTS })
    const { pool } = database
    await pool.query('insert into patchbay.orgs (id, name) values ($1, $1)', [ORG])
    await pool.query(PLAIN_TABLE)
    await asAdmin(stage.serverUrl, 'checkpoint')
    await takeTurn(pool, emitOne, turnMs)
    await takeTurn(pool, insertOne, turnMs)
    const pairs: { readonly emitMs: number; readonly plainMs: number }[] = []
    for (let turn = 0; turn < turns; turn += 1) {
      // Who goes first changes, so that a machine that gets slower or faster meanwhile favours neither.
      const before = turn % 2 === 0 ? await takeTurn(pool, insertOne, turnMs) : null
      const emitMs = await takeTurn(pool, emitOne, turnMs)
      const plainMs = before ?? (await takeTurn(pool, insertOne, turnMs))
      pairs.push({ emitMs, plainMs })
      stage.signal.throwIfAborted()
    }
    const many = { emit: await timeOfMany(pool, emitOne), plain: await timeOfMany(pool, insertOne) }
    const of = (pick: (pair: (typeof pairs)[number]) => number) =>
      median(pairs.map(pick)).toFixed(2)
    return [
      {
        name: 'emit_to_insert',
        title: `emit ÷ a plain insert of the same row, ${CLIENTS} clients`,
        value: median(pairs.map(({ emitMs, plainMs }) => emitMs / plainMs)),
        unit: '',
        goal: 1.3,
        bound: 'at most',
        detail:
          `${of((pair) => pair.emitMs)} and ${of((pair) => pair.plainMs)} ms a transaction with its commit; ` +
          `${many.emit.toFixed(0)} and ${many.plain.toFixed(0)} µs each of ${MANY} in one transaction`,
      },
    ]
  },
}

/** All clients at once, each one transaction after the other. Milliseconds of one of them. */
async function takeTurn(pool: pg.Pool, write: Write, turnMs: number): Promise<number> {
  let count = 0
  const startedAt = performance.now()
  const loop = async () => {
    const client = await pool.connect()
    try {
      while (performance.now() - startedAt < turnMs) {
        await client.query('begin')
        await write(client)
        await client.query('commit')
        count += 1
      }
    } finally {
      client.release()
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, loop))
  return ((performance.now() - startedAt) * CLIENTS) / count
}

/** In microseconds, the commit's share included: that is where the event gets its place. */
async function timeOfMany(pool: pg.Pool, write: Write): Promise<number> {
  const client = await pool.connect()
  try {
    const startedAt = performance.now()
    await client.query('begin')
    for (let n = 0; n < MANY; n += 1) await write(client)
    await client.query('commit')
    return ((performance.now() - startedAt) * 1000) / MANY
  } finally {
    client.release()
  }
}
