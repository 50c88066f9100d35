import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import type { Queryable } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import { makeHistory } from './history.ts'
import { makeStats } from './stats.ts'

const ORG = 'big'
const ROWS = 100_000

let database: TestDatabase
let webhookId: string
let deliveryId: string
let eventId: string
beforeAll(async () => {
  database = await openTestDatabase()
  await fill()
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
})

/** 100,000 deliveries in the history of one org, as many of another, and some that are owed to each. */
async function fill(): Promise<void> {
  const { pool } = database
  await pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('generic-webhook', 'Webhook', '', '{}')`,
  )
  for (const orgId of [ORG, 'other']) {
    await database.addOrg(orgId)
    await pool.query(
      `with i as (
         insert into patchbay.org_integrations (org_id, provider_key, name) values ($1, 'generic-webhook', 'Hooks')
         returning id
       )
       insert into patchbay.webhook_subscriptions (org_id, integration_id, url, event_types, secrets)
       select $1, i.id, 'https://hooks.example.com/', '{*}', '' from i, generate_series(1, 10)`,
      [orgId],
    )
    await pool.query(
      `with s as (select array_agg(id) as ids from patchbay.webhook_subscriptions where org_id = $1),
       e as (
         insert into patchbay.outbox_events (id, org_id, type, data, occurred_at)
         select patchbay.new_id(), $1, 'a.b', '{}', now() from generate_series(1, $2::int)
         returning id
       ),
       n as (select id, row_number() over () as n from e)
       insert into patchbay.webhook_delivery_log
         (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, trigger, duration_ms)
       select patchbay.new_id(), $1, s.ids[n.n % 10 + 1], n.id, 1, 'delivered', true, 'schedule', 5 from n, s`,
      [orgId, ROWS],
    )
    await pool.query(
      `insert into patchbay.delivery_queue (org_id, subscription_id, event_id, ready)
       select $1, id, patchbay.new_id(), false from patchbay.webhook_subscriptions, generate_series(1, 1000)
       where org_id = $1`,
      [orgId],
    )
  }
  await pool.query('delete from patchbay.outbox_pending')
  await pool.query('analyze')
  const { rows } = await pool.query(
    'select delivery_id, event_id, subscription_id from patchbay.webhook_delivery_log where org_id = $1 limit 1',
    [ORG],
  )
  deliveryId = rows[0].delivery_id
  eventId = rows[0].event_id
  webhookId = rows[0].subscription_id
}

interface Seen {
  plan: string
  pages: number
}

/** Runs what a feature asks as the API's role, each statement with its plan and the pages that it touched. */
function observing(inOrg: InOrg, seen: Seen): InOrg {
  return (orgId, work) =>
    inOrg(orgId, (tx, client) => {
      const query = async (config: pg.QueryConfig) => {
        const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, unknown> }] }>({
          text: `explain (analyze, buffers, timing off, format json) ${config.text}`,
          values: config.values ?? [],
        })
        const root = rows[0]?.['QUERY PLAN'][0].Plan ?? {}
        seen.plan += `${JSON.stringify(root)}\n`
        seen.pages += Number(root['Shared Hit Blocks']) + Number(root['Shared Read Blocks'])
        return client.query(config)
      }
      // Of a client, the features here use `query` with a config alone.
      return work(tx, { query } as unknown as Queryable)
    })
}

const EVERYTHING = {
  webhookId: null,
  integrationId: null,
  status: null,
  eventType: null,
  eventId: null,
  since: null,
  until: null,
}
const FIRST = { limit: 50, after: null }

const ASKS: [string, (inOrg: InOrg) => Promise<unknown>][] = [
  ['a page of deliveries', (inOrg) => history(inOrg).listDeliveries(ORG, EVERYTHING, FIRST)],
  [
    'deliveries of one subscription',
    (inOrg) => history(inOrg).listDeliveries(ORG, { ...EVERYTHING, webhookId }, FIRST),
  ],
  ['one delivery', (inOrg) => history(inOrg).getDelivery(ORG, deliveryId)],
  [
    'a page of events',
    (inOrg) => {
      const all = { type: null, conversationId: null, since: null, until: null }
      return history(inOrg).listEvents(ORG, all, FIRST)
    },
  ],
  ['why an event came', (inOrg) => history(inOrg).explain(ORG, eventId, webhookId)],
  [
    'statistics',
    (inOrg) => makeStats({ inOrg, nowMs: Date.now, retentionDays: 30 })(ORG, webhookId, null),
  ],
]

test.each(ASKS)('%s cost under row-level security what they cost without it', async (_, ask) => {
  const asOwner: InOrg = (_org, work) => work(database.db, database.pool)
  const free = { plan: '', pages: 0 }
  await ask(observing(asOwner, free))
  const closed = { plan: '', pages: 0 }
  await ask(observing(database.inOrg, closed))
  expect(closed.pages).toBeLessThanOrEqual(free.pages * 1.1 + 30)
})

function history(inOrg: InOrg) {
  return makeHistory({ inOrg, audit: () => Promise.resolve() })
}
