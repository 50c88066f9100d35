import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { emit } from '../../src/index.ts'
import { postUntilAccepted } from './api-client.ts'
import type { Api, Bench, Produced } from './bench.ts'

const PRODUCERS = 4
const CONVERSATIONS = 3
/** Among the answers: a key that was repeated for long, and in vain. */
export const NEVER_ACCEPTED = 'never accepted'
const ROLLED_BACK_SHARE = 0.1
const EMIT_SQL =
  'select patchbay.emit_event(org_id => $1, type => $2, data => $3, conversation_id => $4) as id'

interface LoadOptions {
  /** Of all producers together, about. */
  readonly perSecond: number
  readonly orgId?: string
  /** Set: a third of the events goes through it, each with a key that is repeated until it is accepted. */
  readonly api?: Pick<Api, 'url' | 'token'>
  /** Whether all of them do. */
  readonly isApiOnly?: boolean
}

export interface Load {
  /** Of the API: how often it gave each status, or broke off in which way. */
  readonly answers: ReadonlyMap<number | string, number>
  /** Resolves when every producer has ended its last transaction. */
  readonly stop: () => Promise<void>
}

/**
 * Producers that emit until they are stopped, whatever happens to the database: through `emit`, through the SQL function,
 * and through the API. One in ten transactions is rolled back on purpose.
 *
 * A conversation belongs to one producer, which commits one event after the other: the ledger has them in order of commit.
 */
export function startLoad(bench: Bench, options: LoadOptions): Load {
  const stopping = new AbortController()
  const answers = new Map<number | string, number>()
  const abandoned: AbandonedKey[] = []
  const { orgId = bench.orgId, api } = options
  const everyMs = (PRODUCERS * 1000) / options.perSecond

  async function produce(producer: number): Promise<void> {
    for (let n = 0; !stopping.signal.aborted; n += 1) {
      const startedAt = performance.now()
      const event = { orgId, conversationId: `c-${producer}-${n % CONVERSATIONS}`, n }
      if (api !== undefined && (options.isApiOnly === true || n % 3 === 2)) {
        const key = await emitByApi(bench, api, event, answers)
        if (key !== null) abandoned.push({ ...event, key })
      } else {
        await emitInTransaction(bench, event, n % 2 === 0 ? 'emit' : 'sql')
      }
      // The pace of the load.
      await sleep(Math.max(1, everyMs - (performance.now() - startedAt)))
    }
  }

  const producers = Array.from({ length: PRODUCERS }, (_, index) => produce(index))
  // They are awaited by `stop`.
  const all = Promise.all(producers)
  all.catch(() => undefined)
  return {
    answers,
    stop: async () => {
      stopping.abort()
      await all
      for (const key of abandoned) await noteAbandoned(bench, key)
    },
  }
}

/** Emits `count` events as fast as one connection does, each in a transaction of its own. */
export async function emitMany(bench: Bench, count: number, orgId = bench.orgId): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    await emitInTransaction(bench, { orgId, conversationId: `c-${n % 10}`, n }, 'emit')
  }
}

/** Emits `count` events in one transaction. */
export async function emitAtOnce(bench: Bench, count: number, orgId = bench.orgId): Promise<void> {
  const { rows } = await bench.database.pool.query<{ id: string }>(
    `select patchbay.emit_event($1, 'chaos.flooded', json_build_object('n', n)) as id
     from generate_series(1, $2::int) as n`,
    [orgId, count],
  )
  const event = { orgId, conversationId: null, outcome: 'committed', at: Date.now() } as const
  await Promise.all(rows.map(({ id }) => bench.ledger.append({ id, ...event })))
}

interface LoadEvent {
  readonly orgId: string
  readonly conversationId: string
  readonly n: number
}

/** What became of it is in the ledger. */
async function emitInTransaction(
  bench: Bench,
  event: LoadEvent,
  by: 'emit' | 'sql',
): Promise<void> {
  const client = await bench.database.pool.connect().catch(() => null)
  if (client === null) return
  const onError = () => undefined
  client.on('error', onError)
  let id: string | null = null
  let outcome: Produced['outcome'] = 'rolled back'
  let broken: Error | undefined
  try {
    await client.query('begin')
    id = await emitBy(client, event, by)
    if (bench.dice.next() < ROLLED_BACK_SHARE) {
      await client.query('rollback')
    } else {
      outcome = 'unknown'
      const { command } = await client.query('commit')
      outcome = command === 'COMMIT' ? 'committed' : 'rolled back'
    }
  } catch (error) {
    broken = error instanceof Error ? error : new Error(String(error))
  }
  client.off('error', onError)
  client.release(broken)
  const { orgId, conversationId } = event
  if (id !== null) {
    await bench.ledger.append({ id, orgId, conversationId, outcome, at: Date.now() })
  }
}

async function emitBy(client: pg.PoolClient, event: LoadEvent, by: 'emit' | 'sql') {
  const { orgId, conversationId, n } = event
  const type = 'chaos.ticked'
  if (by === 'emit') return emit(client, { orgId, type, conversationId, data: { n, by } })
  const values = [orgId, type, JSON.stringify({ n, by }), conversationId]
  const { rows } = await client.query<{ id: string }>(EMIT_SQL, values)
  return rows[0]?.id ?? null
}

interface AbandonedKey extends LoadEvent {
  readonly key: string
}

/** Returns the key if it was never accepted. */
async function emitByApi(
  bench: Bench,
  api: Pick<Api, 'url' | 'token'>,
  event: LoadEvent,
  answers: Map<number | string, number>,
): Promise<string | null> {
  const { orgId, conversationId, n } = event
  const key = randomUUID()
  const body = { type: 'chaos.ticked', conversationId, data: { n, by: 'api', key } }
  const note = (answer: number | string) => answers.set(answer, (answers.get(answer) ?? 0) + 1)
  const id = await postUntilAccepted(api, orgId, key, body, note)
  if (id === null) {
    note(NEVER_ACCEPTED)
    return key
  }
  const outcome = 'committed'
  await bench.ledger.append({ id, orgId, conversationId, outcome, at: Date.now() })
  return null
}

/** A request that was never accepted may have had its effect all the same. Asked when the database is back. */
async function noteAbandoned(bench: Bench, abandoned: AbandonedKey): Promise<void> {
  const { orgId, conversationId, key } = abandoned
  const { rows } = await bench.database.pool.query<{ event_id: string }>(
    'select event_id from patchbay.outbox_keys where org_id = $1 and key = $2',
    [orgId, key],
  )
  const [row] = rows
  if (row === undefined) return
  const outcome = 'unknown'
  await bench.ledger.append({ id: row.event_id, orgId, conversationId, outcome, at: Date.now() })
}
