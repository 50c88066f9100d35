import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { HOT_SETTINGS, INDEXED_SETTINGS } from '../../src/db/hot-settings.ts'
import type { Queryable } from '../../src/db/pool.ts'
import { claimDue } from '../../src/delivery/claim.ts'
import { loadEvents } from '../../src/delivery/events.ts'
import { holdLanes } from '../../src/delivery/hold.ts'
import { recordAttempts } from '../../src/delivery/record.ts'
import { promoteDue, tendLanes } from '../../src/delivery/tend.ts'
import { pumpRecovery } from '../../src/history/recovery-pump.ts'
import { fanOut } from '../../src/outbox/relay.ts'

/** The hot statements, the indexes that each must use, and a database of a size at which it matters. */
export interface HotStatement {
  readonly name: string
  /** All of them, or the names of what a plan does. */
  readonly uses: readonly string[]
  readonly avoids?: RegExp
  /** Of the sessions that send it; unset: `HOT_SETTINGS`, and its plan is kept. */
  readonly settings?: readonly string[]
  readonly send: (db: Queryable) => Promise<unknown>
}

const ORG = 'hot'
const LANES = 100
const NO_LANE = '00000000-0000-0000-0000-000000000000'

/**
 * As many deliveries over 100 lanes: three quarters ready, the rest waiting for hours or held; half as many items of a
 * recovery, and a fifth as many pending events of 2,000 other orgs. Returns when the statistics know of it.
 */
export async function fillHot(client: pg.ClientBase, rows: number): Promise<void> {
  await client.query('insert into patchbay.orgs (id, name) values ($1, $1)', [ORG])
  await client.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('generic-webhook', 'Webhook', '', '{}')`,
  )
  await client.query(
    `with i as (
       insert into patchbay.org_integrations (org_id, provider_key, name) values ($1, 'generic-webhook', 'Hooks')
       returning id
     )
     insert into patchbay.webhook_subscriptions (org_id, integration_id, url, event_types, secrets)
     select $1, i.id, 'https://hooks.example.com/', '{*}', '' from i, generate_series(1, $2)`,
    [ORG, LANES],
  )
  await client.query(
    `insert into patchbay.delivery_queue (org_id, subscription_id, event_id, ready, due_at)
     select $1, s.id, patchbay.new_id(), n % 4 > 0, now() + make_interval(mins => n)
     from patchbay.webhook_subscriptions as s, generate_series(1, $2) as n`,
    [ORG, rows / LANES],
  )
  await client.query(
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
  await client.query(
    `select patchbay.emit_event('org-' || n % 2000 + 1, 'chat.turn.completed', '{}') from generate_series(1, $1) as n`,
    [rows / 5],
  )
  // Every tenth row is held, every tenth lane is open and due for a probe, one has a recovery of many thousand items.
  await client.query(
    `update patchbay.delivery_queue set due_at = 'infinity' where not ready and get_byte(uuid_send(id), 15) % 10 = 0`,
  )
  await client.query(
    `update patchbay.subscription_health set open_until = now(), probe_at = now(), consecutive_failures = 10
     where get_byte(uuid_send(subscription_id), 15) % 10 = 0`,
  )
  await client.query(
    `with r as (
       insert into patchbay.recoveries (org_id, subscription_id, since, until, statuses, matched, requested_by)
       select org_id, id, now(), now(), '{failed}', $1, 'me' from patchbay.webhook_subscriptions limit 1
       returning org_id, id
     )
     insert into patchbay.recovery_items (org_id, recovery_id, event_id) select r.org_id, r.id, patchbay.new_id() from r, generate_series(1, $1)`,
    [rows / 2],
  )
  await client.query('analyze')
}

/** It would serve a look-up by id too while a day is empty, and a plan may outlive that. */
const EVENTS_BY_ORG = /outbox_events_\w+_org_id_id_idx/

/** As a worker with nothing to do asks. */
export const CLAIM = {
  slots: 512,
  perLane: 128,
  lanes: 256,
  afterLane: NO_LANE,
  busyLanes: [randomUUID()],
  lanesWithRoom: [randomUUID()],
  rooms: [200],
  unprovenSlots: 512,
  isProvenOnly: false,
  leaseMs: 30_000,
  leaseToken: randomUUID(),
}
const RECORD = {
  deliveryId: randomUUID(),
  leaseToken: randomUUID(),
  attempt: 1,
  trigger: 'schedule',
  isInLine: false,
  outcome: 'failed',
  next: 'retry',
  afterMs: 5000,
  statusCode: 500,
  durationMs: 1,
  error: 'HTTP 500',
  snippet: null,
} as const

export const HOT_STATEMENTS: readonly HotStatement[] = [
  { name: 'claimDue', uses: ['delivery_queue_ready'], send: (db) => claimDue(db, CLAIM) },
  {
    name: 'claimDue, past lanes that are not proven',
    uses: ['delivery_queue_ready', 'subscription_health_proven'],
    send: (db) => claimDue(db, { ...CLAIM, isProvenOnly: true }),
  },
  {
    name: 'loadEvents',
    uses: ['outbox_events_default_pkey'],
    avoids: EVENTS_BY_ORG,
    send: (db) => loadEvents(db, [{ event_id: randomUUID() }]),
  },
  { name: 'promoteDue', uses: ['delivery_queue_due'], send: (db) => promoteDue(db, 1000) },
  {
    name: 'holdLanes',
    uses: ['delivery_queue_ready'],
    send: (db) => holdLanes(db, [randomUUID()]),
  },
  {
    name: 'tendLanes',
    uses: ['delivery_queue_held', 'subscription_health_probe', 'subscription_health_resume'],
    send: (db) => tendLanes(db),
  },
  {
    name: 'fanOut',
    uses: ['outbox_pending_by_org', 'Tid Scan on outbox_pending', 'subscription_patterns_pkey'],
    avoids: EVENTS_BY_ORG,
    send: (db) => fanOut(db, 1000),
  },
  {
    name: 'recordAttempts',
    uses: ['delivery_queue_pkey'],
    send: (db) => recordAttempts(db, [RECORD]),
  },
  {
    name: 'pumpRecovery',
    uses: ['recovery_items_pkey', 'delivery_queue_recovering'],
    settings: INDEXED_SETTINGS,
    send: (db) => pumpRecovery(db, randomUUID()),
  },
]

const WHOLE_TABLE =
  /Seq Scan on (?:delivery_queue|outbox_pending|outbox_events|webhook_subscriptions|subscription_|recovery_items)\w*/

/** What is wrong with the plans of a statement, for its values or (generic) for any; null: nothing. It is not run. */
export async function planProblem(
  client: pg.ClientBase,
  statement: HotStatement,
  isGeneric: boolean,
): Promise<string | null> {
  const { name, uses, avoids } = statement
  const options = isGeneric ? 'costs off, generic_plan' : 'costs off'
  const found = await plansOf(client, statement, options)
  const plans = found.map((rows) => rows.map((row) => row['QUERY PLAN']).join('\n')).join('\n\n')
  const missing = uses.filter((index) => !plans.includes(index))
  if (missing.length > 0) return `${name} does not use ${missing.join(', ')}:\n${plans}`
  const scan = WHOLE_TABLE.exec(plans) ?? avoids?.exec(plans) ?? null
  return scan === null ? null : `${name}: ${scan[0]}:\n${plans}`
}

interface PlanNode {
  readonly 'Node Type': string
  readonly 'Parent Relationship'?: string
  readonly 'Index Name'?: string
  readonly 'Index Cond'?: string
  readonly Plans?: readonly PlanNode[]
}

/**
 * What a plan of a statement, made by what the planner knows of the tables now and kept, would do once for each row of something
 * else that is no look-up; null: nothing.
 */
export async function growthProblem(
  client: pg.ClientBase,
  statement: HotStatement,
): Promise<string | null> {
  const plans = await plansOf(client, statement, 'format json, generic_plan')
  for (const [row] of plans) {
    const problem = row === undefined ? null : problemOf(row['QUERY PLAN'][0].Plan)
    if (problem !== null) return `${statement.name}: ${problem}`
  }
  return null
}

function problemOf(node: PlanNode): string | null {
  const { 'Node Type': type, 'Index Name': index, Plans: children = [] } = node
  const isLookedAtOnce = node['Parent Relationship'] === 'InitPlan'
  if (/^(?:Index|Bitmap Index)/.test(type) && node['Index Cond'] === undefined && !isLookedAtOnce) {
    return `reads all of ${index}`
  }
  // By one of its columns, and by the others row by row where many share that one.
  if (type === 'Merge Join') return 'compares in a merge join'
  if (type === 'Nested Loop') {
    const inner = children.find((child) => child['Parent Relationship'] === 'Inner')
    const repeated = inner === undefined ? null : repeatedIn(inner)
    if (repeated !== null) return `compares row by row: ${repeated} in a nested loop`
  }
  for (const child of children) {
    const problem = problemOf(child)
    if (problem !== null) return problem
  }
  return null
}

/** What would be read again for each row of a loop. What is planned as a step before it is read once. */
function repeatedIn(node: PlanNode): string | null {
  const type = node['Node Type']
  if (/^(?:CTE Scan|Materialize|Seq Scan)$/.test(type)) return type
  for (const child of node.Plans ?? []) {
    const repeated = child['Parent Relationship'] === 'InitPlan' ? null : repeatedIn(child)
    if (repeated !== null) return repeated
  }
  return null
}

/** The answers to `explain` of every statement that a call sends, planned as in the sessions that send it. */
async function plansOf(
  client: pg.ClientBase,
  { send, settings = HOT_SETTINGS }: HotStatement,
  options: string,
): Promise<pg.QueryResultRow[][]> {
  const plans: pg.QueryResultRow[][] = []
  const isGeneric = options.includes('generic_plan')
  await client.query('begin')
  for (const setting of settings) await client.query(`set local ${setting}`)
  const recording = {
    query: async ({ text, values = [] }: pg.QueryConfig) => {
      const asked = `explain (${options}) ${text}`
      plans.push((await client.query(asked, isGeneric ? undefined : [...values])).rows)
      // Only what the functions read of an answer.
      return { rows: [] }
    },
  }
  try {
    await send(recording as unknown as Queryable)
  } finally {
    await client.query('rollback')
  }
  return plans
}
