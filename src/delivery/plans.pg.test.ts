import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import type { Queryable } from '../db/pool.ts'
import { pumpRecovery } from '../history/recovery-pump.ts'
import { fanOut } from '../outbox/relay.ts'
import { claimDue } from './claim.ts'
import { loadEvents } from './events.ts'
import { holdLanes } from './hold.ts'
import { recordAttempts } from './record.ts'
import { promoteDue, tendLanes } from './tend.ts'

const NO_LANE = '00000000-0000-0000-0000-000000000000'

let database: TestDatabase
let client: pg.PoolClient
beforeAll(async () => {
  database = await openTestDatabase()
  await fill()
  client = await database.pool.connect()
  // As the worker's sessions have it.
  await client.query('set enable_seqscan = off')
})
afterAll(async () => {
  client.release()
  await database[Symbol.asyncDispose]()
})

/** 100,000 deliveries over 100 lanes: three quarters ready, the rest waiting for hours; and 20,000 pending events of 2,000 other orgs. */
async function fill(): Promise<void> {
  const orgId = await database.addOrg()
  const { pool } = database
  await pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('generic-webhook', 'Webhook', '', '{}')`,
  )
  await pool.query(
    `with i as (
       insert into patchbay.org_integrations (org_id, provider_key, name) values ($1, 'generic-webhook', 'Hooks')
       returning id
     )
     insert into patchbay.webhook_subscriptions (org_id, integration_id, url, event_types, secrets)
     select $1, i.id, 'https://hooks.example.com/', '{*}', '' from i, generate_series(1, 100)`,
    [orgId],
  )
  await pool.query(
    `insert into patchbay.delivery_queue (org_id, subscription_id, event_id, ready, due_at)
     select $1, s.id, patchbay.new_id(), n % 4 > 0, now() + make_interval(mins => n)
     from patchbay.webhook_subscriptions as s, generate_series(1, 1000) as n`,
    [orgId],
  )
  await pool.query(
    `with o as (
       insert into patchbay.orgs (id, name) select 'org-' || n, 'Org' from generate_series(1, 2000) as n returning id
     ),
     i as (
       insert into patchbay.org_integrations (org_id, provider_key, name)
       select id, 'generic-webhook', 'Hooks' from o returning id, org_id
     )
     insert into patchbay.webhook_subscriptions (org_id, integration_id, url, event_types, secrets)
     select org_id, id, 'https://hooks.example.com/', '{chat.*}', '' from i`,
  )
  await pool.query(
    `select patchbay.emit_event('org-' || n % 2000 + 1, 'chat.turn.completed', '{}') from generate_series(1, 20000) as n`,
  )
  // Every tenth row is held, every tenth lane is open and due for a probe, one has a recovery of many thousand items.
  await pool.query(
    `update patchbay.delivery_queue set due_at = 'infinity' where not ready and get_byte(uuid_send(id), 15) % 10 = 0`,
  )
  await pool.query(
    `update patchbay.subscription_health set open_until = now(), probe_at = now(), consecutive_failures = 10
     where get_byte(uuid_send(subscription_id), 15) % 10 = 0`,
  )
  await pool.query(
    `with r as (
       insert into patchbay.recoveries (org_id, subscription_id, since, until, statuses, matched, requested_by)
       select org_id, id, now(), now(), '{failed}', 50000, 'me' from patchbay.webhook_subscriptions limit 1
       returning org_id, id
     )
     insert into patchbay.recovery_items (org_id, recovery_id, event_id) select r.org_id, r.id, patchbay.new_id() from r, generate_series(1, 50000)`,
  )
  await pool.query('analyze')
}

/** The plans of every statement that a call sends, for its values or for any; nothing is run. */
async function plansOf(
  call: (db: Queryable) => Promise<unknown>,
  isGeneric: boolean,
): Promise<string> {
  const plans: string[] = []
  const recording = {
    query: async ({ text, values = [] }: pg.QueryConfig) => {
      const { rows } = isGeneric
        ? await client.query(`explain (costs off, generic_plan) ${text}`)
        : await client.query(`explain (costs off) ${text}`, values)
      plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'))
      return { rows: [] }
    },
  }
  // Only what the functions read of an answer.
  await call(recording as unknown as Queryable)
  return plans.join('\n\n')
}

const claim = {
  slots: 512,
  perLane: 128,
  lanes: 256,
  afterLane: NO_LANE,
  busyLanes: [randomUUID()],
  lanesWithRoom: [randomUUID()],
  rooms: [200],
  unprovenSlots: 512,
  leaseMs: 30_000,
  leaseToken: randomUUID(),
}
const record = {
  deliveryId: randomUUID(),
  leaseToken: randomUUID(),
  attempt: 1,
  trigger: 'schedule',
  outcome: 'failed',
  next: 'retry',
  afterMs: 5000,
  statusCode: 500,
  durationMs: 1,
  error: 'HTTP 500',
  snippet: null,
} as const

describe.each([
  ['for its values', false],
  ['for any values', true],
])('the plan %s', (_mode, isGeneric) => {
  test.each([
    ['claimDue', ['delivery_queue_ready'], (db: Queryable) => claimDue(db, claim)],
    [
      'loadEvents',
      ['outbox_events_default_pkey'],
      (db: Queryable) => loadEvents(db, [{ event_id: randomUUID() }]),
    ],
    ['promoteDue', ['delivery_queue_due'], (db: Queryable) => promoteDue(db, 1000)],
    ['holdLanes', ['delivery_queue_ready'], (db: Queryable) => holdLanes(db, [randomUUID()])],
    [
      'tendLanes',
      ['delivery_queue_held', 'subscription_health_probe', 'subscription_health_resume'],
      (db: Queryable) => tendLanes(db),
    ],
    [
      'fanOut',
      ['outbox_pending_by_org', 'Tid Scan on outbox_pending', 'subscription_patterns_pkey'],
      (db: Queryable) => fanOut(db, 1000),
    ],
    ['recordAttempts', ['delivery_queue_pkey'], (db: Queryable) => recordAttempts(db, [record])],
    [
      'pumpRecovery',
      ['recovery_items_pkey', 'delivery_queue_recovering'],
      (db: Queryable) => pumpRecovery(db, randomUUID()),
    ],
  ])('of %s uses %j and scans no whole table', async (_, indexes, call) => {
    const plan = await plansOf(call, isGeneric)
    for (const index of indexes) expect(plan).toContain(index)
    expect(plan).not.toMatch(
      /Seq Scan on (delivery_queue|outbox_pending|outbox_events|webhook_subscriptions|subscription_|recovery_items)/,
    )
  })
})

test('a claim reads about as many rows of the queue as it takes', async () => {
  await client.query('begin')
  const { deliveries } = await claimDue(client, claim)
  expect(deliveries).toHaveLength(512)
  await client.query('rollback')
  const text: string[] = []
  const values: unknown[] = []
  await claimDue(
    {
      query: async (config: pg.QueryConfig) => {
        text.push(config.text)
        values.push(...(config.values ?? []))
        return { rows: [] }
      },
    } as unknown as Queryable,
    claim,
  )
  await client.query('begin')
  const { rows } = await client.query(`explain (analyze, buffers, format json) ${text[0]}`, values)
  await client.query('rollback')
  const [{ Plan: plan }] = rows[0]['QUERY PLAN']
  expect(plan['Shared Hit Blocks'] + plan['Shared Read Blocks']).toBeLessThan(20_000)
})
