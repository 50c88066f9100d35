import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { migrate } from '../../src/db/migrate.ts'
import { openPool } from '../../src/db/pool.ts'
import type { Stage } from './part.ts'

/** What is in a database, besides its rows. */
export interface Contents {
  readonly masterKey: string
  /** Signing secrets by path. */
  readonly secrets: Readonly<Record<string, string>>
}

export interface Urls {
  /** As a login that owns it and is no superuser, as in production: row-level security is real for it. */
  readonly url: string
  /** As the server's superuser. */
  readonly adminUrl: string
}

/** Dropped when it is disposed of: what is left would go on being vacuumed under the next measurement. */
export interface Database extends Urls, Contents, AsyncDisposable {}

/** Fills a database that is migrated and empty. */
export type Fill = (database: Urls, masterKey: string) => Promise<Contents['secrets']>

export interface Templates {
  /** A copy of the template of this name, which is made the first time. Names stand for what `fill` does. */
  readonly copy: (name: string, fill: Fill) => Promise<Database>
}

/** It owns a database of its own name. */
interface Login {
  readonly name: string
  readonly password: string
}

interface Template extends Contents {
  readonly login: Login
}

/** @param isSmall what a template holds is copied through the log, which takes less than two checkpoints then */
export function makeTemplates(
  serverUrl: string,
  newName: (of: string) => string,
  isSmall: boolean,
): Templates {
  const strategy = isSmall ? 'wal_log' : 'file_copy'
  const made = new Map<string, Promise<Template>>()

  async function make(fill: Fill): Promise<Template> {
    const { login, urls } = await createMigrated(serverUrl, newName('template'))
    const masterKey = randomBytes(32).toString('base64')
    const secrets = await fill(urls, masterKey)
    // Copies start with statistics, and with nothing that autovacuum has to do.
    await asAdmin(urls.adminUrl, 'vacuum analyze')
    return { login, masterKey, secrets }
  }

  return {
    copy: async (name, fill) => {
      const making = made.get(name) ?? make(fill)
      made.set(name, making)
      const template = await making
      const database = newName('bench')
      await asAdmin(
        serverUrl,
        `create database ${database} template ${template.login.name} owner ${template.login.name} strategy ${strategy}`,
      )
      const { masterKey, secrets } = template
      return {
        ...urlsOf(serverUrl, template.login, database),
        masterKey,
        secrets,
        [Symbol.asyncDispose]: async () => {
          await asAdmin(serverUrl, `drop database ${database} with (force)`)
        },
      }
    },
  }
}

/** A database without rows, for parts that bring their own. Dropped when it is disposed of. */
export interface EmptyDatabase extends AsyncDisposable {
  readonly url: string
  /** As its owner. */
  readonly pool: pg.Pool
  readonly masterKey: string
  readonly jwtSecret: string
}

export async function openDatabase(
  { serverUrl, newName }: Pick<Stage, 'serverUrl' | 'newName'>,
  of: string,
  { connections = 4 }: { readonly connections?: number } = {},
): Promise<EmptyDatabase> {
  const name = newName(of)
  const { url } = (await createMigrated(serverUrl, name)).urls
  const onError = () => undefined
  const pool = openPool({ url, max: connections, applicationName: 'bench', onError })
  return {
    url,
    pool,
    masterKey: randomBytes(32).toString('base64'),
    jwtSecret: randomBytes(32).toString('hex'),
    [Symbol.asyncDispose]: async () => {
      await pool.end()
      await asAdmin(serverUrl, `drop database ${name} with (force)`)
    },
  }
}

async function createMigrated(serverUrl: string, name: string) {
  const login = { name, password: randomBytes(12).toString('hex') }
  await asAdmin(
    serverUrl,
    `create role ${name} login createrole password '${login.password}'`,
    `create database ${name} owner ${name}`,
  )
  const urls = urlsOf(serverUrl, login, name)
  await migrate(urls.url)
  return { login, urls }
}

function urlsOf(serverUrl: string, login: Login, name: string) {
  const admin = new URL(serverUrl)
  admin.pathname = `/${name}`
  const owner = new URL(admin)
  owner.username = login.name
  owner.password = login.password
  return { url: owner.href, adminUrl: admin.href }
}

/** Each statement in a transaction of its own. @returns the rows of the last one */
export async function asAdmin<Row extends pg.QueryResultRow>(
  url: string,
  ...statements: readonly string[]
): Promise<Row[]> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    let rows: Row[] = []
    for (const statement of statements) rows = (await client.query<Row>(statement)).rows
    return rows
  } finally {
    await client.end()
  }
}
