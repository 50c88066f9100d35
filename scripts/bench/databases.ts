import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { migrate } from '../../src/db/migrate.ts'

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

interface Template extends Contents {
  readonly login: string
  readonly password: string
  readonly database: string
}

export function makeTemplates(serverUrl: string, newName: (of: string) => string): Templates {
  const made = new Map<string, Promise<Template>>()

  async function make(fill: Fill): Promise<Template> {
    const database = newName('template')
    const password = randomBytes(12).toString('hex')
    const masterKey = randomBytes(32).toString('base64')
    await asAdmin(
      serverUrl,
      `create role ${database} login createrole password '${password}'`,
      `create database ${database} owner ${database}`,
    )
    const template = { login: database, password, database }
    const urls = urlsOf(serverUrl, template, database)
    await migrate(urls.url)
    const secrets = await fill(urls, masterKey)
    // Copies start with statistics, and with nothing that autovacuum has to do.
    await asAdmin(urls.adminUrl, 'vacuum analyze')
    return { ...template, masterKey, secrets }
  }

  return {
    copy: async (name, fill) => {
      const making = made.get(name) ?? make(fill)
      made.set(name, making)
      const template = await making
      const database = newName('bench')
      await asAdmin(
        serverUrl,
        `create database ${database} template ${template.database} owner ${template.login} strategy file_copy`,
      )
      const { masterKey, secrets } = template
      return {
        ...urlsOf(serverUrl, template, database),
        masterKey,
        secrets,
        [Symbol.asyncDispose]: () => asAdmin(serverUrl, `drop database ${database} with (force)`),
      }
    },
  }
}

function urlsOf(serverUrl: string, template: Pick<Template, 'login' | 'password'>, name: string) {
  const admin = new URL(serverUrl)
  admin.pathname = `/${name}`
  const owner = new URL(admin)
  owner.username = template.login
  owner.password = template.password
  return { url: owner.href, adminUrl: admin.href }
}

/** Each statement in a transaction of its own. */
export async function asAdmin(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}
