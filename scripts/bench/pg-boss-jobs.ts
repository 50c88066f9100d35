import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { type JobInsert, PgBoss } from 'pg-boss'
import { eventBody } from '../../src/core/event.ts'
import { makeNewId } from '../../src/core/id.ts'
import { EVENT_DATA, laneOrg, laneType } from './body.ts'

export const QUEUE = 'delivery'
const BATCH = 1000
/** In the order of time, as the product's are: indexes grow at their end. */
const newId = makeNewId({ nowMs: Date.now, randomBytes })

/** All that a delivery needs, its body built. */
export interface WebhookJob {
  readonly eventId: string
  readonly orgId: string
  readonly subscriptionId: string
  readonly path: string
  readonly type: string
  readonly body: string
}

interface Lane {
  readonly id: string
  readonly path: string
}

/** The baseline's queue, in a database that has lanes. */
export async function openQueue(url: string) {
  const boss = new PgBoss({ connectionString: url, max: 2, useListenNotify: true })
  boss.on('error', (error) => console.error(error))
  await boss.start()
  await boss.createQueue(QUEUE, { notify: true, partition: true })
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  const { rows: lanes } = await pool.query<Lane>(
    `select id, substring(url from '^http://[^/]+(.*)') as path from patchbay.webhook_subscriptions order by id`,
  )
  return {
    pool,
    /** In one transaction, which has committed when this returns. */
    insert: async (count: number): Promise<void> => {
      const client = await pool.connect()
      const db = { executeSql: (text: string, values?: unknown[]) => client.query(text, values) }
      let isBroken = true
      try {
        await client.query('begin')
        for (let first = 0; first < count; first += BATCH) {
          const size = Math.min(BATCH, count - first)
          const jobs = Array.from({ length: size }, (_, i) => makeJob(lanes, first + i))
          await boss.insert(QUEUE, jobs, { db })
        }
        await client.query('commit')
        isBroken = false
      } finally {
        client.release(isBroken)
      }
    },
    isOwed: async (): Promise<boolean> => {
      const { rows } = await pool.query<{ is_owed: boolean }>(
        `select exists (select from pgboss.job where name = $1 and state < 'completed') as is_owed`,
        [QUEUE],
      )
      return rows[0]?.is_owed === true
    },
    [Symbol.asyncDispose]: async () => {
      await pool.end()
      await boss.stop({ graceful: false })
    },
  }
}

function makeJob(lanes: readonly Lane[], nth: number): JobInsert<WebhookJob> {
  const lane = lanes[nth % lanes.length]
  if (lane === undefined) throw new Error('there are no lanes')
  const event = {
    id: newId(),
    orgId: laneOrg(0),
    type: laneType(nth % lanes.length),
    conversationId: null,
    data: EVENT_DATA,
    occurredAt: new Date().toISOString(),
  }
  return {
    id: newId(),
    data: {
      eventId: event.id,
      orgId: event.orgId,
      subscriptionId: lane.id,
      path: lane.path,
      type: event.type,
      body: eventBody(event),
    },
  }
}
