import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { migrate } from '../../src/db/migrate.ts'
import { openPool } from '../../src/db/pool.ts'
import { EVENT_DATA, laneType, ORG } from './body.ts'
import { makeControl } from './control.ts'
import { subscribeLanes } from './lanes.ts'
import { type Child, startChild } from './processes.ts'
import type { Counts } from './receiver.ts'

const EMIT_BATCH = 1000
const LOOK_MS = 25
const TIMEOUT_MS = 120_000

export interface Run {
  readonly serverUrl: string
  readonly receiverUrl: string
  /** Of the new database. */
  readonly name: string
  readonly lanes: number
  readonly deliveries: number
  readonly warmUp: number
  readonly logFile: string
  /** Without the walls: no guard, no row-level security, no encryption. To see what they cost. */
  readonly isBare: boolean
  readonly signal: AbortSignal
}

export interface Measured {
  readonly perSecond: number
  /** Of the log: deliveries that ended well. */
  readonly recorded: number
  readonly counts: Counts
}

/**
 * From committed events to recorded outcomes, with the product's own worker in a process of its own and warm: in a fresh
 * database one transaction emits everything; the clock starts as it commits and stops when nothing is owed any more.
 */
export async function measureEndToEnd(run: Run): Promise<Measured> {
  const masterKey = randomBytes(32).toString('base64')
  const url = await createDatabase(run.serverUrl, run.name)
  await migrate(url)
  await using stack = new AsyncDisposableStack()
  // The looks at the queue are to cost an index entry, not a scan of the rows that are gone.
  const settings = ['enable_seqscan=off']
  const onError = () => undefined
  const pool = openPool({ url, max: 2, applicationName: 'bench', settings, onError })
  stack.defer(() => pool.end())
  const control = makeControl(run.receiverUrl)
  await control.trust(await subscribeLanes(pool, { ...run, databaseUrl: url, masterKey }))
  if (run.isBare) await openTables(pool)
  await checkpoint(run.serverUrl)
  const worker = stack.use(startWorker(run, url, masterKey))
  const finish = () => untilNothingIsOwed(pool, worker, run.signal)

  await emitAtOnce(pool, run.warmUp, run.lanes)
  await finish()
  await control.reset()
  const committingAt = await emitAtOnce(pool, run.deliveries, run.lanes)
  await finish()
  const seconds = (performance.now() - committingAt) / 1000
  const { rows } = await pool.query<{ recorded: number }>(
    `select count(*)::int as recorded from patchbay.webhook_delivery_log where is_final and outcome = 'delivered'`,
  )
  return {
    perSecond: run.deliveries / seconds,
    recorded: (rows[0]?.recorded ?? 0) - run.warmUp,
    counts: await control.counts(),
  }
}

/** The product as shipped: what is not set here has its default. */
function startWorker(run: Run, databaseUrl: string, masterKey: string): Child<never> {
  return startChild({
    ...(run.isBare
      ? { script: 'scripts/bench/bare-worker.ts' }
      : { script: 'src/main.ts', args: ['worker'] }),
    env: {
      DATABASE_URL: databaseUrl,
      MASTER_KEY: masterKey,
      AUTH_JWT_SECRET: randomBytes(32).toString('hex'),
      EGRESS_ALLOW: '127.0.0.1',
      EGRESS_HTTP: 'allow',
      LOG_LEVEL: 'info',
    },
    logFile: run.logFile,
    signal: run.signal,
  })
}

/** Of a login that owns it and is no superuser, as in production: row-level security is real for it. */
async function createDatabase(serverUrl: string, name: string): Promise<string> {
  const password = randomBytes(12).toString('hex')
  await asAdmin(serverUrl, `create role ${name} login createrole password '${password}'`)
  await asAdmin(serverUrl, `create database ${name} owner ${name}`)
  const url = new URL(serverUrl)
  url.username = name
  url.password = password
  url.pathname = `/${name}`
  return url.href
}

async function asAdmin(serverUrl: string, statement: string): Promise<void> {
  const client = new pg.Client(serverUrl)
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

const checkpoint = (serverUrl: string) => asAdmin(serverUrl, 'checkpoint')

/** Takes row-level security off every table. */
async function openTables(pool: pg.Pool): Promise<void> {
  await pool.query(`
    do $$
    declare
      closed regclass;
    begin
      for closed in
        select oid::regclass from pg_class where relnamespace = 'patchbay'::regnamespace and relrowsecurity
      loop
        execute format('alter table %s disable row level security', closed);
      end loop;
    end
    $$`)
}

/** One transaction that emits `count` events, the lanes in turn. Returns when its commit was sent. */
async function emitAtOnce(pool: pg.Pool, count: number, lanes: number): Promise<number> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    for (let first = 0; first < count; first += EMIT_BATCH) {
      const size = Math.min(EMIT_BATCH, count - first)
      const types = Array.from({ length: size }, (_, i) => laneType((first + i) % lanes))
      await client.query(
        'select count(patchbay.emit_event($1, type, $2::json)) from unnest($3::text[]) as type',
        [ORG, EVENT_DATA, types],
      )
    }
    const committingAt = performance.now()
    await client.query('commit')
    return committingAt
  } finally {
    client.release()
  }
}

async function untilNothingIsOwed(
  pool: pg.Pool,
  worker: Child<never>,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS
  for (;;) {
    const { rows } = await pool.query<{ is_owed: boolean }>(
      `select exists (select from patchbay.outbox_pending) or exists (select from patchbay.delivery_queue) as is_owed`,
    )
    if (rows[0]?.is_owed === false) return
    worker.assertRunning()
    if (performance.now() > deadline) throw new Error(await describeBacklog(pool))
    await sleep(LOOK_MS, undefined, { signal })
  }
}

/** What is stuck where, and what the database is at. */
async function describeBacklog(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ owed: unknown; running: unknown }>(`
    select
      (select json_build_object(
        'pending', (select count(*) from patchbay.outbox_pending),
        'ready', count(*) filter (where ready),
        'leased', count(*) filter (where not ready and lease_token is not null),
        'waiting', count(*) filter (where not ready and lease_token is null)
      ) from patchbay.delivery_queue) as owed,
      (select json_agg(json_build_array(now() - query_start, wait_event, left(query, 60)))
        from pg_stat_activity
        where datname = current_database() and state = 'active' and pid <> pg_backend_pid()) as running`)
  const { owed, running } = rows[0] ?? {}
  return `not done after ${TIMEOUT_MS / 1000} s: ${JSON.stringify(owed)}, running ${JSON.stringify(running)}`
}
