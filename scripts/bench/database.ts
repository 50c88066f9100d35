import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { migrate } from '../../src/db/migrate.ts'
import { openPool } from '../../src/db/pool.ts'
import type { Stage } from './part.ts'
import { type Child, startChild } from './processes.ts'

const LOOK_MS = 25

/** A migrated database of a part's own. Dropped when it is disposed. */
export interface Database extends AsyncDisposable {
  readonly url: string
  /** As its owner. */
  readonly pool: pg.Pool
  /** What the product's processes on it share. */
  readonly secrets: { readonly MASTER_KEY: string; readonly AUTH_JWT_SECRET: string }
}

type Place = Pick<Stage, 'serverUrl' | 'newName'>

/** Of a login that owns it and is no superuser, as in production: row-level security is real for it. */
export async function openDatabase(
  { serverUrl, newName }: Place,
  of: string,
  { connections = 4 }: { readonly connections?: number } = {},
): Promise<Database> {
  const name = newName(of)
  const password = randomBytes(12).toString('hex')
  await asAdmin(serverUrl, `create role ${name} login createrole password '${password}'`)
  await asAdmin(serverUrl, `create database ${name} owner ${name}`)
  const url = new URL(serverUrl)
  url.username = name
  url.password = password
  url.pathname = `/${name}`
  await migrate(url.href)
  const onError = () => undefined
  const pool = openPool({ url: url.href, max: connections, applicationName: 'bench', onError })
  return {
    url: url.href,
    pool,
    secrets: {
      MASTER_KEY: randomBytes(32).toString('base64'),
      AUTH_JWT_SECRET: randomBytes(32).toString('hex'),
    },
    [Symbol.asyncDispose]: async () => {
      await pool.end()
      await asAdmin(serverUrl, `drop database ${name} with (force)`)
    },
  }
}

export async function asAdmin(serverUrl: string, statement: string): Promise<pg.QueryResult> {
  const client = new pg.Client(serverUrl)
  await client.connect()
  try {
    return await client.query(statement)
  } finally {
    await client.end()
  }
}

/** A process of the product. */
export interface Product extends Child<never> {
  /** Of its API. */
  readonly url: string | null
}

/**
 * The product as shipped, in a process of its own: what is not set here has its default. Returns when it says that it has
 * started.
 */
export async function startProduct(
  role: 'api' | 'worker',
  stage: Stage,
  { url, secrets }: Database,
): Promise<Product> {
  const logFile = join(stage.dir, `${stage.newName(role)}.log`)
  const child = startChild<never>({
    script: 'src/main.ts',
    args: [role],
    env: {
      ...secrets,
      DATABASE_URL: url,
      PORT: '0',
      EGRESS_ALLOW: '127.0.0.1',
      EGRESS_HTTP: 'allow',
      LOG_LEVEL: 'info',
    },
    logFile,
    signal: stage.signal,
  })
  for (;;) {
    child.assertRunning()
    const lines = (await readFile(logFile, 'utf8')).split('\n')
    const started = lines.find((line) => line.includes('"service.started"'))
    if (started !== undefined) return { ...child, url: JSON.parse(started).url }
    await sleep(LOOK_MS, undefined, { signal: stage.signal })
  }
}
