import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { makeNewId } from '../../src/core/id.ts'
import { Secret } from '../../src/core/secret.ts'
import { makeDataKeyStore } from '../../src/db/data-keys.ts'
import { migrate } from '../../src/db/migrate.ts'
import { makeDb, openPool } from '../../src/db/pool.ts'
import { makeIntegrations } from '../../src/integrations/integrations.ts'
import { makeSubscriptions } from '../../src/integrations/subscriptions.ts'
import { findProvider, getProvider } from '../../src/providers/registry.ts'
import { openKeyring } from '../../src/security/keyring.ts'
import { startChild } from './processes.ts'

const ORG = 'bench'
const WARM_UP = 1000
const TIMEOUT_MS = 300_000

export interface Run {
  readonly serverUrl: string
  readonly receiverUrl: string
  readonly lanes: number
  readonly deliveries: number
  readonly bodyBytes: number
  readonly logFile: string
}

export interface Measured {
  readonly perSecond: number
  readonly duplicates: number
  readonly missing: number
  readonly unverified: number
}

/**
 * From committed events to recorded outcomes, with the product's own worker in a process of its own: a fresh database, all
 * events committed by one transaction at the start of the clock, which stops when the queue is empty.
 */
export async function measureEndToEnd(run: Run): Promise<Measured> {
  const masterKey = randomBytes(32).toString('base64')
  const url = await freshDatabase(run.serverUrl, `bench_${run.lanes}_${Date.now()}`)
  await migrate(url)
  const pool = openPool({ url, max: 4, applicationName: 'bench', onError: () => undefined })
  try {
    await resetReceiver(run.receiverUrl, await subscribe(pool, masterKey, run))
    await using worker = startChild(
      'src/main.ts',
      ['worker'],
      {
        DATABASE_URL: url,
        MASTER_KEY: masterKey,
        AUTH_JWT_SECRET: randomBytes(32).toString('hex'),
        EGRESS_ALLOW: '127.0.0.1',
        EGRESS_HTTP: 'allow',
      },
      run.logFile,
    )
    worker.message.catch(() => undefined)
    await emitMany(pool, WARM_UP, run)
    await untilDone(pool)
    await emitMany(pool, run.deliveries, run)
    const committedAt = performance.now()
    await untilDone(pool)
    const seconds = (performance.now() - committedAt) / 1000
    const counts = await countsOf(run.receiverUrl)
    const expected = run.deliveries + WARM_UP
    return {
      perSecond: run.deliveries / seconds,
      duplicates: counts.received - counts.distinct,
      missing: expected - counts.distinct,
      unverified: counts.unverified,
    }
  } finally {
    await pool.end()
  }
}

async function freshDatabase(serverUrl: string, name: string): Promise<string> {
  const client = new pg.Client(serverUrl)
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

/** One integration and one subscription a lane, through the product's own code; each lane has an event type of its own. */
async function subscribe(pool: pg.Pool, masterKey: string, run: Run) {
  const db = makeDb(pool)
  const newId = makeNewId({ nowMs: Date.now, randomBytes })
  const store = makeDataKeyStore(db)
  const keyring = await openKeyring({ masterKey: new Secret(masterKey), store, newId })
  await pool.query('insert into patchbay.orgs (id, name) values ($1, $1)', [ORG])
  const key = 'generic-webhook'
  await pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest) values ($1, $1, '', '{}')`,
    [key],
  )
  const integrations = makeIntegrations({
    db,
    keyring,
    findProvider,
    newId,
    mayInstallInternal: () => true,
  })
  const subscriptions = makeSubscriptions({
    db,
    keyring,
    newId,
    providerOf: () => Promise.resolve(getProvider(key)),
    urlProblem: () => null,
  })
  const { id } = await integrations.create(ORG, { providerKey: key, name: 'bench' })
  const secrets: Record<string, string> = {}
  for (let lane = 0; lane < run.lanes; lane += 1) {
    const path = `/lane/${lane}`
    const input = { url: run.receiverUrl + path, eventTypes: [`bench.lane${lane}`] }
    const { secret } = await subscriptions.create(ORG, id, input)
    secrets[path] = secret
  }
  return secrets
}

async function emitMany(pool: pg.Pool, count: number, run: Run): Promise<void> {
  const filler = 'x'.repeat(Math.max(0, run.bodyBytes - 180))
  await pool.query(
    `select count(patchbay.emit_event($1, 'bench.lane' || (n % $2), $3::json)) from generate_series(1, $4) as n`,
    [ORG, run.lanes, JSON.stringify({ filler }), count],
  )
}

async function untilDone(pool: pg.Pool): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS
  while (performance.now() < deadline) {
    const { rows } = await pool.query<{ done: boolean }>(
      `select not exists (select from patchbay.outbox_pending) and not exists (select from patchbay.delivery_queue) as done`,
    )
    if (rows[0]?.done === true) return
    await sleep(25)
  }
  throw new Error('the deliveries did not end in time')
}

async function resetReceiver(url: string, secrets: Record<string, string>): Promise<void> {
  await fetch(`${url}/control/reset`, { method: 'POST', body: JSON.stringify(secrets) })
}

async function countsOf(url: string) {
  const response = await fetch(`${url}/control/counts`)
  const counts: { received: number; distinct: number; unverified: number } = JSON.parse(
    await response.text(),
  )
  return counts
}
