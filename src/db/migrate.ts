import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

const MIGRATIONS_DIR = join(import.meta.dirname, '../../migrations')
const FILE_NAME = /^\d{4}_[a-z0-9_]+\.sql$/
/** Any number, the same in every process: whoever migrates holds this advisory lock. */
const LOCK = 7_246_853_241

const LOCK_WAIT_MS = 1000
const BETWEEN_TRIES_MS = 1000
const MAX_TRIES = 300

export class MigrationError extends Error {
  override readonly name = 'MigrationError'
}

interface MigrationFile {
  readonly name: string
  readonly text: string
  readonly checksum: string
  readonly isBreaking: boolean
}

interface MigrationRow {
  readonly name: string
  readonly checksum: string
  readonly is_breaking: boolean
}

/**
 * Brings the database to the state of `migrations/`: each file once, in order, in its own transaction. Safe when several
 * processes start at once: they queue at an advisory lock and the later ones find nothing to do.
 *
 * A database that is ahead of these files is accepted, unless one of the unknown migrations is marked `-- breaking`.
 *
 * @returns the names of the files that were applied
 * @throws MigrationError when a file was changed after it was applied, or comes before one that is applied
 */
export async function migrate(databaseUrl: string, dir = MIGRATIONS_DIR): Promise<string[]> {
  const files = await readMigrations(dir)
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'patchbay migrate',
    connectionTimeoutMillis: 5000,
  })
  // A connection that breaks rejects the query under way; without a listener it would end the process as well.
  client.on('error', () => undefined)
  await client.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [LOCK])
    await assertVersion(client)
    await client.query(`
      create schema if not exists patchbay;
      create table if not exists patchbay.schema_migrations (
        name text primary key,
        checksum text not null,
        is_breaking boolean not null,
        applied_at timestamptz not null default now()
      )`)
    const { rows } = await client.query<MigrationRow>(
      'select name, checksum, is_breaking from patchbay.schema_migrations order by name',
    )
    const pending = pendingMigrations(files, rows)
    for (const file of pending) await apply(client, file)
    return pending.map((file) => file.name)
  } finally {
    await client.end()
  }
}

async function readMigrations(dir: string): Promise<MigrationFile[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.sql')).sort()
  return Promise.all(
    names.map(async (name) => {
      if (!FILE_NAME.test(name)) {
        throw new MigrationError(`migrations/${name}: the name must be like 0001_what_it_does.sql`)
      }
      const text = await readFile(join(dir, name), 'utf8')
      const checksum = createHash('sha256').update(text).digest('hex')
      return { name, text, checksum, isBreaking: text.startsWith('-- breaking') }
    }),
  )
}

/** Decides what is to be applied; throws for a history that does not fit the files. */
function pendingMigrations(
  files: readonly MigrationFile[],
  applied: readonly MigrationRow[],
): MigrationFile[] {
  const byName = new Map(files.map((file) => [file.name, file]))
  for (const row of applied) {
    const file = byName.get(row.name)
    if (file === undefined && row.is_breaking) {
      throw new MigrationError(
        `The database has ${row.name}, which this version does not know and which breaks it. Update Patchbay.`,
      )
    }
    if (file !== undefined && file.checksum !== row.checksum) {
      throw new MigrationError(
        `migrations/${row.name} was changed after it was applied. Restore it, and write a new migration instead.`,
      )
    }
  }
  const appliedNames = new Set(applied.map((row) => row.name))
  const last = applied.at(-1)?.name ?? ''
  const pending = files.filter((file) => !appliedNames.has(file.name))
  const late = pending.find((file) => file.name < last)
  if (late !== undefined) {
    throw new MigrationError(
      `migrations/${late.name} comes before ${last}, which is applied already. Give it a later number.`,
    )
  }
  return pending
}

/**
 * Applies a file, in short tries: a statement that waits for a table's lock holds up everybody who comes after it, the hosts'
 * emits among them, while whoever has the table goes on.
 */
async function apply(client: pg.Client, file: MigrationFile): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await applyOnce(client, file)
      return
    } catch (error) {
      if (attempt === MAX_TRIES || !isLocked(error)) throw error
      await sleep(BETWEEN_TRIES_MS)
    }
  }
}

/** lock_not_available and deadlock_detected */
function isLocked(error: unknown): boolean {
  const cause = error instanceof MigrationError ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && /^(55P03|40P01)$/.test(String(cause.code))
}

async function applyOnce(client: pg.Client, file: MigrationFile): Promise<void> {
  await client.query(`begin; set local lock_timeout = ${LOCK_WAIT_MS}`)
  try {
    await client.query(file.text)
    await client.query(
      'insert into patchbay.schema_migrations (name, checksum, is_breaking) values ($1, $2, $3)',
      [file.name, file.checksum, file.isBreaking],
    )
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw new MigrationError(`migrations/${file.name} failed: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

async function assertVersion(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ version: number }>(
    `select current_setting('server_version_num')::int / 10000 as version`,
  )
  const version = rows[0]?.version ?? 0
  if (version < 15)
    throw new MigrationError(`Postgres ${version} is too old: 15 to 18 are supported.`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
