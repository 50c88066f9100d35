import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { makeDb, openPool } from '../../src/db/pool.ts'
import type { TestDatabase } from '../fixtures/database.ts'
import { newSecrets, startPatchbay, type TestProcess, until } from '../fixtures/process.ts'
import { subscribe } from '../fixtures/subscription.ts'
import type { Cluster } from './cluster.ts'
import { type Dice, makeDice } from './dice.ts'
import { type Ledger, openLedger, readLedger } from './ledger.ts'
import { type ReceiverProcess, startReceiver } from './receiver-process.ts'

/** Short, so that recovery from a killed worker is. */
const LEASE_SECONDS = 6
/** Deliveries one worker has in flight: what a kill may repeat. */
export const CONCURRENCY = 64

/** One event that a producer emitted, or took back. */
export interface Produced {
  readonly id: string
  readonly orgId: string
  readonly conversationId: string | null
  /** `unknown`: the connection was cut while it committed. */
  readonly outcome: 'committed' | 'rolled back' | 'unknown'
  /** When that was known, Unix ms. */
  readonly at: number
}

export interface Subscription {
  readonly id: string
  readonly orgId: string
  readonly path: string
  readonly isOrdered: boolean
  readonly perSecond: number | null
}

interface SubscriptionOptions {
  /** Set: not the bench's receiver. Such a subscription is no part of the audit. */
  readonly url?: string
  /** Another name and port for the bench's receiver. */
  readonly host?: string
  readonly orgId?: string
  readonly isOrdered?: boolean
  readonly perSecond?: number
  readonly retrySchedule?: readonly number[]
}

export interface Api {
  readonly process: TestProcess
  readonly url: string
  readonly token: string
}

/** It is dropped with its cluster, never emptied. */
type BenchDatabase = Omit<TestDatabase, 'empty' | 'inOrg' | 'readInOrg' | 'writeInOrg'>

/** Where one fault happens: a database, processes and a receiver of its own, and both ledgers. */
export interface Bench extends AsyncDisposable {
  /** Goes with the cluster. */
  readonly dir: string
  readonly seed: number
  readonly cluster: Cluster
  readonly database: BenchDatabase
  readonly databaseName: string
  readonly dice: Dice
  readonly receiver: ReceiverProcess
  readonly orgId: string
  readonly ledger: Ledger<Produced>
  readonly readProduced: () => Promise<Produced[]>
  /** Those of the bench's receiver. */
  readonly subscriptions: readonly Subscription[]
  /** Every process that was started, dead or alive. */
  readonly processes: readonly TestProcess[]
  readonly subscribe: (path: string, options?: SubscriptionOptions) => Promise<string>
  /** Resolves when it works. */
  readonly startWorker: (env?: Readonly<Record<string, string>>) => Promise<TestProcess>
  readonly startApi: (env?: Readonly<Record<string, string>>) => Promise<Api>
  /** Starts without waiting. */
  readonly spawn: (
    role: 'api' | 'worker' | 'both',
    env?: Readonly<Record<string, string>>,
  ) => TestProcess
}

export interface BenchOptions {
  readonly cluster: Cluster
  readonly seed: number
  /** Of its database and its directory. */
  readonly name: string
  readonly content?: 'migrated' | 'empty'
}

export async function openBench(options: BenchOptions): Promise<Bench> {
  await using stack = new AsyncDisposableStack()
  const { cluster, name } = options
  const dir = join(cluster.dir, name)
  await mkdir(dir)
  const { content = 'migrated' } = options
  const url = await cluster.makeDatabase(name, content)
  stack.defer(() => cluster.dropDatabase(name))
  const database = stack.adopt(openDatabase(url), ({ pool }) => pool.end())
  const ledgerFile = join(dir, 'produced.jsonl')
  const ledger = stack.use(await openLedger<Produced>(ledgerFile))
  const receiver = stack.use(await startReceiver(join(dir, 'received.jsonl')))
  const orgId = `org-${randomBytes(6).toString('hex')}`
  if (content === 'migrated') await database.addOrg(orgId)
  const env = {
    ...newSecrets(),
    DATABASE_URL: url,
    PORT: '0',
    LEASE_SECONDS: String(LEASE_SECONDS),
    WORKER_CONCURRENCY: String(CONCURRENCY),
    RETRY_SCHEDULE: Array(20).fill('1').join(','),
  }
  const processes: TestProcess[] = []
  const subscriptions: Subscription[] = []
  const owned = stack.move()
  const spawn: Bench['spawn'] = (role, more = {}) => {
    const child = owned.use(startPatchbay(role, { ...env, ...more }))
    processes.push(child)
    return child
  }
  const startWorker: Bench['startWorker'] = async (more) => {
    const worker = spawn('worker', more)
    await untilStarted(worker)
    return worker
  }
  return {
    dir,
    seed: options.seed,
    cluster,
    database,
    databaseName: name,
    dice: makeDice(options.seed),
    receiver,
    orgId,
    ledger,
    readProduced: () => readLedger<Produced>(ledgerFile),
    subscriptions,
    processes,
    spawn,
    startWorker,
    startApi: async (more) => {
      const process = spawn('api', more)
      await untilStarted(process)
      return { process, url: urlOf(process), token: await superadminToken(env.AUTH_JWT_SECRET) }
    },
    subscribe: async (path, more = {}) => {
      const owner = more.orgId ?? orgId
      const { webhookId, secret } = await subscribe(database, env.MASTER_KEY, owner, {
        url: more.url ?? `${more.host === undefined ? receiver.url : `http://${more.host}`}${path}`,
        eventTypes: ['chaos.*'],
        retrySchedule: more.retrySchedule,
      })
      const { isOrdered = false, perSecond = null } = more
      await shape(database, webhookId, isOrdered, perSecond)
      if (more.url === undefined) {
        receiver.trust(path, secret)
        subscriptions.push({ id: webhookId, orgId: owner, path, isOrdered, perSecond })
      }
      return webhookId
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function openDatabase(url: string): BenchDatabase {
  const pool = openPool({ url, max: 10, applicationName: 'chaos', onError: () => undefined })
  return {
    url,
    pool,
    db: makeDb(pool),
    addOrg: async (id = `org-${randomBytes(6).toString('hex')}`) => {
      await pool.query('insert into patchbay.orgs (id, name) values ($1, $1)', [id])
      return id
    },
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

async function shape(
  { pool }: BenchDatabase,
  id: string,
  isOrdered: boolean,
  perSecond: number | null,
): Promise<void> {
  await pool.query(
    'update patchbay.webhook_subscriptions set ordering = $2, rate_limit = $3 where id = $1',
    [id, isOrdered ? 'conversation' : 'none', perSecond],
  )
}

function untilStarted(process: TestProcess): Promise<void> {
  return until('the process has started', () => process.output().includes('service.started'))
}

function urlOf(process: TestProcess): string {
  return /"url":"([^"]+)"/.exec(process.output())?.[1] ?? ''
}

function superadminToken(secret: string): Promise<string> {
  return new SignJWT({ isSuperadmin: true })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('chaos')
    .setExpirationTime('2h')
    .sign(new TextEncoder().encode(secret))
}
