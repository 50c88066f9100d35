import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import * as schema from './schema.ts'
import * as toolTables from './tool-tables.ts'

const TABLES = { ...schema, ...toolTables }

export type Db = NodePgDatabase<typeof TABLES>
/** A transaction: what runs on it commits or rolls back together. */
export type DbTx = Omit<Db, 'transaction' | '$client'>

/** The least a statement needs: a pool, a client, or a transaction's client. */
export interface Queryable {
  query<Row extends unknown[]>(config: pg.QueryArrayConfig): Promise<pg.QueryArrayResult<Row>>
  query<Row extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<pg.QueryResult<Row>>
}

export interface PoolOptions {
  readonly url: string
  readonly max: number
  readonly applicationName: string
  /** false: commits do not wait for the disk. Only for work that may be repeated after a crash of Postgres. */
  readonly isDurable?: boolean
  /** true: a connection sends a statement without waiting for the answer to the one before; answers come in order. */
  readonly isPipelined?: boolean
  /** Session settings, `name=value`. */
  readonly settings?: readonly string[]
  /** How long an answer is waited for, whatever keeps it; then its connection is given up. Unset: as long as it takes. */
  readonly queryTimeoutMs?: number
  readonly onError: (error: Error) => void
}

/** A pool whose sessions all speak UTC; a connection that breaks while idle is reported and replaced. */
export function openPool(options: PoolOptions): pg.Pool {
  const settings = [
    'timezone=UTC',
    'statement_timeout=60000',
    // Whatever the host's default is: statements that wait for a lock must see what was done meanwhile.
    'default_transaction_isolation=read\\ committed',
    ...(options.settings ?? []),
  ]
  if (options.isDurable === false) settings.push('synchronous_commit=off')
  const { url, own } = takeOptions(options.url)
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max,
    application_name: options.applicationName,
    options: [own, ...settings.map((setting) => `-c ${setting}`)].join(' ').trim(),
    connectionTimeoutMillis: 5000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    pipeline: options.isPipelined ?? false,
    ...(options.queryTimeoutMs === undefined ? {} : { query_timeout: options.queryTimeoutMs }),
  })
  pool.on('error', options.onError)
  // The pool listens to idle connections alone. One that is lost in somebody's hands fails their next statement, and without a
  // listener it would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

/** pg lets what stands in a URL replace what is passed beside it: the operator's options go first, and ours are kept. */
function takeOptions(given: string): { readonly url: string; readonly own: string } {
  const url = new URL(given)
  const own = url.searchParams.get('options')
  if (own === null) return { url: given, own: '' }
  url.searchParams.delete('options')
  return { url: url.href, own }
}

export function makeDb(pool: pg.Pool | pg.PoolClient): Db {
  // On a client, drizzle would run `transaction` there; nothing else differs.
  return drizzle(pool as pg.Pool, { schema: TABLES })
}
