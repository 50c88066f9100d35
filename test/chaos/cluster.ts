import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { type EmbeddedPostgres, openEmbedded } from '../../src/db/embedded.ts'
import { migrate } from '../../src/db/migrate.ts'
import { until } from '../fixtures/process.ts'
import { isRunning } from './is-running.ts'

const STOP_MS = 15_000

/** A Postgres of the suite's own, with a real fsync: it may be killed. */
export interface Cluster extends AsyncDisposable {
  readonly dir: string
  /** A new database: migrated, or with nothing in it. */
  readonly makeDatabase: (name: string, content: 'migrated' | 'empty') => Promise<string>
  readonly dropDatabase: (name: string) => Promise<void>
  /** `pg_ctl stop -m immediate`: no checkpoint, every session cut. Resolves when it is gone. */
  readonly stopAtOnce: () => Promise<void>
  /** Starts it again on the same port, through crash recovery. */
  readonly start: () => Promise<void>
  readonly isUp: () => Promise<boolean>
  readonly asAdmin: <Row extends pg.QueryResultRow>(
    statement: string,
    values?: unknown[],
  ) => Promise<Row[]>
}

/** @param env for the server alone, beside the environment it is started in */
export async function openCluster(env: Readonly<Record<string, string>> = {}): Promise<Cluster> {
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-chaos-'))
  let server: EmbeddedPostgres = await withEnvironment(env, () => openEmbedded({ dir, port: 0 }))
  const adminUrl = new URL(server.url)
  const port = Number(adminUrl.port)
  adminUrl.pathname = '/postgres'
  const asAdmin = async <Row extends pg.QueryResultRow>(statement: string, values?: unknown[]) => {
    const client = new pg.Client({ connectionString: adminUrl.href, connectionTimeoutMillis: 5000 })
    client.on('error', () => undefined)
    await client.connect()
    try {
      return (await client.query<Row>(statement, values)).rows
    } finally {
      await client.end().catch(() => undefined)
    }
  }
  await migrate(server.url)
  return {
    dir,
    asAdmin,
    makeDatabase: async (name, content) => {
      const template = content === 'migrated' ? 'patchbay' : 'template0'
      await asAdmin(`create database ${name} template ${template}`)
      const url = new URL(server.url)
      url.pathname = `/${name}`
      return url.href
    },
    dropDatabase: async (name) => {
      await asAdmin(`drop database if exists ${name} with (force)`)
    },
    stopAtOnce: async () => {
      const pid = await postmasterPid(dir)
      process.kill(pid, 'SIGQUIT')
      await until('Postgres is gone', () => !isRunning(pid), STOP_MS)
    },
    start: async () => {
      server = await withEnvironment(env, () => openEmbedded({ dir, port }))
    },
    isUp: async () => {
      try {
        await asAdmin('select 1')
        return true
      } catch {
        return false
      }
    },
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** The server inherits our environment, so ours is changed while it starts. */
async function withEnvironment<Result>(
  env: Readonly<Record<string, string>>,
  start: () => Promise<Result>,
): Promise<Result> {
  Object.assign(process.env, env)
  try {
    return await start()
  } finally {
    for (const name of Object.keys(env)) delete process.env[name]
  }
}

async function postmasterPid(dir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dir, 'postgres/postmaster.pid'), 'utf8'), 10)
}
