import { randomBytes } from 'node:crypto'
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { until } from '../../test/fixtures/process.ts'
import { MigrationError, migrate } from './migrate.ts'
import { openPool } from './pool.ts'
import { findApiRole, openTenants } from './tenants.ts'

const MIGRATIONS = join(import.meta.dirname, '../../migrations')

let dir: string
let url: string
let cleanUp: AsyncDisposableStack
beforeEach(async () => {
  cleanUp = new AsyncDisposableStack()
  dir = await mkdtemp(join(tmpdir(), 'patchbay-migrations-'))
  cleanUp.defer(() => rm(dir, { recursive: true }))
  const name = `test_${randomBytes(8).toString('hex')}`
  await run(urlOf('postgres'), `create database ${name} template template0`)
  cleanUp.defer(async () => {
    await run(urlOf('postgres'), `drop database ${name} with (force)`)
  })
  url = urlOf(name)
})
afterEach(() => cleanUp.disposeAsync())

function urlOf(database: string): string {
  const parsed = new URL(inject('templateUrl'))
  parsed.pathname = `/${database}`
  return parsed.href
}

async function run(databaseUrl: string, statement: string) {
  const client = new pg.Client(databaseUrl)
  await client.connect()
  try {
    return (await client.query(statement)).rows
  } finally {
    await client.end()
  }
}

const write = (name: string, text: string) => writeFile(join(dir, name), text)
const applied = () =>
  run(url, 'select name from patchbay.schema_migrations order by name').then((rows) =>
    rows.map((row) => row.name),
  )

test('ten that start at once on an empty database apply each file once', async () => {
  const files = (await readdir(MIGRATIONS)).toSorted()
  const results = await Promise.all(Array.from({ length: 10 }, () => migrate(url)))
  expect(results.filter((names) => names.length > 0)).toEqual([files])
  expect(await applied()).toEqual(files)
  expect(await migrate(url)).toEqual([])
})

test('what was listed for a recovery before rows said whose they are is kept, and says it', async () => {
  const before = (await readdir(MIGRATIONS)).filter((name) => name < '0011')
  for (const name of before) await cp(join(MIGRATIONS, name), join(dir, name))
  await migrate(url, dir)
  await run(
    url,
    `with o as (insert into patchbay.orgs (id, name) values ('acme', 'Acme') returning id),
     r as (
       insert into patchbay.recoveries (org_id, subscription_id, since, until, statuses, matched, requested_by)
       select o.id, patchbay.new_id(), now(), now(), '{failed}', 1, 'ann' from o returning id
     )
     insert into patchbay.recovery_items (recovery_id, event_id) select r.id, patchbay.new_id() from r, generate_series(1, 3)`,
  )
  await migrate(url)
  const [row] = await run(
    url,
    `select count(*)::int as items, min(org_id) as org_id from patchbay.recovery_items`,
  )
  expect(row).toEqual({ items: 3, org_id: 'acme' })
  // As a process of that version, which goes on for a while, lists them.
  const [item] = await run(
    url,
    `insert into patchbay.recovery_items (recovery_id, event_id) select id, patchbay.new_id() from patchbay.recoveries returning org_id`,
  )
  expect(item).toEqual({ org_id: 'acme' })
})

test('what was pending before it said what its event is says it, and is fanned out', async () => {
  const before = (await readdir(MIGRATIONS)).filter((name) => name < '0022')
  for (const name of before) await cp(join(MIGRATIONS, name), join(dir, name))
  await migrate(url, dir)
  await run(
    url,
    `insert into patchbay.orgs (id, name) values ('acme', 'Acme');
     select patchbay.emit_event('acme', 'chat.turn.completed', '{}', 'c1')`,
  )
  await migrate(url)
  const pending = 'select type, conversation_id, except_for from patchbay.outbox_pending'
  const is = { type: 'chat.turn.completed', conversation_id: 'c1', except_for: null }
  expect(await run(url, pending)).toEqual([is])
  await run(url, `select patchbay.emit_event('acme', 'chat.turn.completed', '{}', 'c1')`)
  expect(await run(url, pending)).toEqual([is, is])
})

test('what is committed while the migration is under way says what it is, too', async () => {
  const before = (await readdir(MIGRATIONS)).filter((name) => name < '0022')
  for (const name of before) await cp(join(MIGRATIONS, name), join(dir, name))
  await migrate(url, dir)
  const host = new pg.Client(url)
  const other = new pg.Client(url)
  await Promise.all([host.connect(), other.connect()])
  try {
    await host.query(`insert into patchbay.orgs (id, name) values ('acme', 'Acme')`)
    await host.query(`begin; select patchbay.emit_event('acme', 'chat.turn.completed', '{}')`)
    // Holds the migration up at its end.
    await other.query('begin; lock table patchbay.schema_migrations in share mode')
    const migrating = migrate(url)
    const isCount = (waiting: number) => async () =>
      (await other.query('select from pg_locks where not granted')).rowCount === waiting
    await until('the migration waits', isCount(1))
    const committing = host.query('commit')
    await Promise.race([committing, until('the commit waits for it', isCount(2))])
    await other.query('rollback')
    await Promise.all([committing, migrating])
    expect(await run(url, 'select type from patchbay.outbox_pending')).toEqual([
      { type: 'chat.turn.completed' },
    ])
  } finally {
    await Promise.all([host.end(), other.end()])
  }
})

test.each([
  ['a tab', 'a\tb "c" d\\e'],
  ['many characters', `ü${randomBytes(4).toString('hex')}${'ü'.repeat(24)}`],
])('a database with %s in its name has an API role of its own', async (_, name) => {
  const quoted = pg.escapeIdentifier(name)
  for (const _time of ['first', 'again']) {
    await run(urlOf('postgres'), `create database ${quoted} template template0`)
    const there = urlOf(encodeURIComponent(name))
    await migrate(there)
    const pool = openPool({ url: there, max: 1, applicationName: 'test', onError: () => undefined })
    const role = await findApiRole(pool)
    await pool.end()
    const options = { url: there, role, max: 1, applicationName: 'test', onError: () => undefined }
    const tenants = openTenants(options)
    const { rows } = await tenants.inOrg('acme', (_tx, client) =>
      client.query({ text: 'select current_user::text as role, patchbay.current_org() as org' }),
    )
    await tenants[Symbol.asyncDispose]()
    expect(rows).toEqual([{ role, org: 'acme' }])
    await run(urlOf('postgres'), `drop database ${quoted} with (force)`)
  }
})

test('a table that somebody holds is waited for in short tries, so that nobody queues behind the wait', async () => {
  await cp(MIGRATIONS, dir, { recursive: true })
  await migrate(url, dir)
  await write('9000_more.sql', 'alter table patchbay.orgs add column more int')
  const holder = new pg.Client(url)
  await holder.connect()
  await holder.query('begin; select from patchbay.orgs')
  const migrating = migrate(url, dir)
  const isWaiting = async () => {
    const [row] = await run(
      url,
      `select count(*)::int as n from pg_stat_activity where application_name = 'patchbay migrate' and wait_event_type = 'Lock' and datname = current_database()`,
    )
    return row.n === 1
  }
  await until('it waits', isWaiting)
  await until('it has given way', async () => !(await isWaiting()))
  await holder.end()
  expect(await migrating).toEqual(['9000_more.sql'])
})

test('a new file is applied on top of the others', async () => {
  await cp(MIGRATIONS, dir, { recursive: true })
  await migrate(url, dir)
  await write('9000_more.sql', 'create table patchbay.more (id int)')
  expect(await migrate(url, dir)).toEqual(['9000_more.sql'])
})

test('a file that was changed after it was applied is refused by name', async () => {
  await write('0001_a.sql', 'create table patchbay.a (id int)')
  await migrate(url, dir)
  await write('0001_a.sql', 'create table patchbay.a (id bigint)')
  await write('0002_b.sql', 'create table patchbay.b (id int)')
  await expect(migrate(url, dir)).rejects.toThrow(/0001_a\.sql was changed/)
  expect(await applied()).toEqual(['0001_a.sql'])
})

test('a file that comes before one that is applied is refused by name', async () => {
  await write('0002_b.sql', 'create table patchbay.b (id int)')
  await migrate(url, dir)
  await write('0001_a.sql', 'create table patchbay.a (id int)')
  await expect(migrate(url, dir)).rejects.toThrow(/0001_a\.sql comes before 0002_b\.sql/)
  expect(await applied()).toEqual(['0002_b.sql'])
})

test('a file that fails leaves nothing of itself and keeps those before it', async () => {
  await write('0001_a.sql', 'create table patchbay.a (id int)')
  await write('0002_b.sql', 'create table patchbay.b (id int); select 1 / 0')
  await write('0003_c.sql', 'create table patchbay.c (id int)')
  const failure = migrate(url, dir)
  await expect(failure).rejects.toBeInstanceOf(MigrationError)
  await expect(failure).rejects.toThrow(/0002_b\.sql failed: division by zero/)
  expect(await applied()).toEqual(['0001_a.sql'])
  const tables = `select to_regclass('patchbay.a') is not null as a, to_regclass('patchbay.b') as b`
  expect(await run(url, tables)).toEqual([{ a: true, b: null }])
  await write('0002_b.sql', 'create table patchbay.b (id int)')
  expect(await migrate(url, dir)).toEqual(['0002_b.sql', '0003_c.sql'])
})

test('a file whose name does not fit is refused before anything is done', async () => {
  await write('1_a.sql', 'select 1')
  await expect(migrate(url, dir)).rejects.toThrow(/1_a\.sql: the name must be like/)
})

test('a database that is ahead is accepted, unless what is new in it breaks this version', async () => {
  await write('0001_a.sql', 'create table patchbay.a (id int)')
  await write('0002_b.sql', 'create table patchbay.b (id int)')
  await migrate(url, dir)
  await rm(join(dir, '0002_b.sql'))
  expect(await migrate(url, dir)).toEqual([])
  await write('0003_c.sql', '-- breaking\ncreate table patchbay.c (id int)')
  await migrate(url, dir)
  await rm(join(dir, '0003_c.sql'))
  await expect(migrate(url, dir)).rejects.toThrow(/0003_c\.sql, which this version does not know/)
})
