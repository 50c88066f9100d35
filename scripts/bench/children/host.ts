import { createServer, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { openPool } from '../../../src/db/pool.ts'
import { emit, makeWake } from '../../../src/index.ts'
import { makeSign, newSigningSecret } from '../../../src/security/signature.ts'
import { EVENT_DATA, laneType, ORG, SAMPLE_BODY } from '../body.ts'
import { openClient } from '../client.ts'

/**
 * A host that commits events and receives their webhooks, a process of its own with one clock. Argument: the database's URL.
 * Its port goes to the parent. `POST /run` takes an `Order` and answers with `Times`; whatever else it is sent is a webhook.
 */
export interface Order {
  /**
   * `emit`: emits, commits and wakes the workers, as the README says. `control`: commits the same row into a table of its own
   * and then POSTs it by itself, signed and through the product's client.
   */
  readonly by: 'emit' | 'control'
  readonly count: number
  /** Between two of them, whether or not the one before was answered. */
  readonly gapMs: number
  /** Half to one and a half of the gap. */
  readonly isRandom: boolean
}

export interface Times {
  /** From when the commit was asked for until the whole webhook was here, milliseconds. */
  readonly fromCommit: readonly number[]
  /** From when the commit had returned. */
  readonly fromReturn: readonly number[]
  /** Of these, those that did not arrive: their times are what they had waited when it was given up. */
  readonly missing: number
}

const [databaseUrl = ''] = process.argv.slice(2)
const CONNECTIONS = 8
const PATIENCE_MS = 30_000
const PLAIN_INSERT =
  'insert into public.plain_events (id, org_id, type, data, occurred_at) values (patchbay.new_id(), $1, $2, $3, now()) returning id'

const pool = openPool({
  url: databaseUrl,
  max: CONNECTIONS,
  applicationName: 'bench host',
  onError: console.error,
})
const wake = makeWake(pool, console.error)
const committed = new Map<string, { readonly askedAt: number; readonly returnedAt: number }>()
const receivedAt = new Map<string, number>()

const server = createServer((request, response) => {
  readAll(request)
    .then(async (text) => {
      if (request.url === '/run') {
        response.end(JSON.stringify(await run(JSON.parse(text))))
        return
      }
      const id = String(request.headers['webhook-id'])
      if (!receivedAt.has(id)) receivedAt.set(id, performance.now())
      response.end('ok')
    })
    .catch((error: unknown) => {
      console.error(error)
      response.writeHead(500).end()
    })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => process.send?.({ port: port() }))
process.on('disconnect', () => process.exit())

function port(): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function readAll(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

async function run({ by, count, gapMs, isRandom }: Order): Promise<Times> {
  committed.clear()
  receivedAt.clear()
  await using client = openClient()
  const target = client.targetOf(`http://127.0.0.1:${port()}/control`)
  const sign = makeSign([newSigningSecret()])
  const type = laneType(0)
  const commit =
    by === 'emit'
      ? async () => {
          await inTransaction((tx) => emit(tx, { orgId: ORG, type, data: EVENT_DATA }))
          wake()
        }
      : async () => {
          const id = await inTransaction(insertPlain)
          const webhook = { eventId: id, deliveryId: id, type, body: SAMPLE_BODY }
          await client.post(target, sign, webhook)
        }
  const underWay: Promise<void>[] = []
  let nextAt = performance.now()
  for (let n = 0; n < count; n += 1) {
    await sleep(Math.max(0, nextAt - performance.now()))
    underWay.push(commit())
    nextAt += gapMs * (isRandom ? 0.5 + Math.random() : 1)
  }
  await Promise.all(underWay)
  const deadline = performance.now() + PATIENCE_MS
  const owed = () => [...committed.keys()].filter((id) => !receivedAt.has(id)).length
  while (owed() > 0 && performance.now() < deadline) await sleep(10)
  const missing = owed()
  const nowMs = performance.now()
  const waits = [...committed].map(([id, at]) => ({ ...at, endedAt: receivedAt.get(id) ?? nowMs }))
  return {
    fromCommit: waits.map(({ askedAt, endedAt }) => endedAt - askedAt),
    fromReturn: waits.map(({ returnedAt, endedAt }) => endedAt - returnedAt),
    missing,
  }
}

async function insertPlain(client: pg.PoolClient): Promise<string> {
  const { rows } = await client.query<{ id: string }>(PLAIN_INSERT, [ORG, laneType(0), EVENT_DATA])
  return rows[0]?.id ?? ''
}

/** `write` returns the event's id. */
async function inTransaction(write: (client: pg.PoolClient) => Promise<string>): Promise<string> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const id = await write(client)
    const askedAt = performance.now()
    await client.query('commit')
    committed.set(id, { askedAt, returnedAt: performance.now() })
    return id
  } finally {
    client.release()
  }
}
