import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { tablesOfOrgs } from '../../test/fixtures/tenants.ts'
import { findApiRole } from './tenants.ts'

let database: TestDatabase
let role: string
beforeAll(async () => {
  database = await openTestDatabase()
  role = await findApiRole(database.pool)
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
})

describe('the catalogue', () => {
  test('closes every table that has an org, by policies for reading and for writing', async () => {
    const { rows } = await database.pool.query(
      `select c.relname as name, c.relrowsecurity as is_closed,
         array_agg(p.polname::text order by p.polname) as policies,
         bool_and(p.polcmd = '*' and p.polqual is not null and p.polwithcheck is not null) as both_ways
       from pg_class as c
       left join pg_policy as p on p.polrelid = c.oid
       where c.oid = any ($1::regclass[])
       group by 1, 2`,
      [(await tablesOfOrgs(database.pool)).map(({ name }) => `patchbay.${name}`)],
    )
    expect(rows.length).toBeGreaterThanOrEqual(20)
    for (const row of rows) {
      const { name, ...rest } = row
      expect([name, rest]).toEqual([
        name,
        { is_closed: true, policies: ['own_org'], both_ways: true },
      ])
    }
  })

  test('has an org in every table but the few that belong to nobody', async () => {
    const ofOrgs = new Set((await tablesOfOrgs(database.pool)).map(({ name }) => name))
    const { rows } = await database.pool.query(
      `select relname as name from pg_class
       where relnamespace = 'patchbay'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1`,
    )
    expect(rows.map(({ name }) => name).filter((name) => !ofOrgs.has(name))).toEqual([
      // Of the installation; the API's role may not see it.
      'context_keys',
      'integration_providers',
      'partitioned_tables',
      // Keys are digests of ours, and the API's role may not see it.
      'rate_limits',
      'schema_migrations',
    ])
  })

  test('lets no key of one org collide with another’s: it begins with the org, or is made of ids that we make', async () => {
    const { rows } = await database.pool.query(
      `select c.relname || '.' || i.relname as key,
         array_agg(a.attname::text || ' ' || format_type(a.atttypid, null) order by k.place) as columns
       from pg_index as x
       join pg_class as c on c.oid = x.indrelid and not c.relispartition
       join pg_class as i on i.oid = x.indexrelid
       cross join unnest(x.indkey::int[]) with ordinality as k (attnum, place)
       left join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
       where x.indisunique and c.relnamespace = 'patchbay'::regnamespace
         and c.oid = any ($1::regclass[]) and c.relname <> 'orgs'
       group by 1`,
      [(await tablesOfOrgs(database.pool)).map(({ name }) => `patchbay.${name}`)],
    )
    // The hashes of API keys and of installs are those of 32 random bytes.
    const isOurs = (column: string) =>
      column === 'hash bytea' || / (uuid|bigint|timestamp with time zone)$/.test(column)
    const loose = rows.filter(
      ({ columns }) => columns[0] !== 'org_id text' && !columns.every(isOurs),
    )
    expect(loose).toEqual([
      // Wanted: a workspace belongs to one integration of the installation, because its events name nothing else.
      {
        key: 'org_integrations.org_integrations_external',
        columns: ['provider_key text', 'external_id text'],
      },
    ])
    expect(rows.length).toBeGreaterThan(20)
  })

  test('begins every unique key with an org or an id, but four: orgs cannot be divided between databases without a place for those', async () => {
    const { rows } = await database.pool.query(
      `select c.relname as table, coalesce(a.attname::text, 'an expression') as first
       from pg_index as x
       join pg_class as c on c.oid = x.indrelid and not c.relispartition
       left join pg_attribute as a on a.attrelid = c.oid and a.attnum = x.indkey[0]
       where x.indisunique and c.oid = any ($1::regclass[])
         and a.attname is distinct from 'org_id' and a.atttypid is distinct from 'uuid'::regtype
       order by 1, 2`,
      [(await tablesOfOrgs(database.pool)).map(({ name }) => `patchbay.${name}`)],
    )
    expect(rows).toEqual([
      // An API key is found by its hash before anybody knows whose it is.
      { table: 'api_keys', first: 'hash' },
      // An install is found by its state.
      { table: 'app_installs', first: 'hash' },
      // An app's event is brought to the org whose workspace it names.
      { table: 'org_integrations', first: 'provider_key' },
      // The orgs themselves.
      { table: 'orgs', first: 'id' },
    ])
  })

  test('ties no row to another org’s: every foreign key between tables of orgs begins with the org', async () => {
    const { rows } = await database.pool.query(
      `select f.conname as key, c.relname as table, a.attname::text as first
       from pg_constraint as f
       join pg_class as c on c.oid = f.conrelid
       join pg_class as t on t.oid = f.confrelid
       join pg_attribute as a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
       where f.contype = 'f' and f.connamespace = 'patchbay'::regnamespace and f.conparentid = 0
         and t.relname <> 'integration_providers'`,
    )
    expect(rows.length).toBeGreaterThanOrEqual(8)
    expect(rows.filter((row) => row.first !== 'org_id')).toEqual([])
  })

  test('shows views with the eyes of who asks', async () => {
    const { rows } = await database.pool.query(
      `select relname, coalesce('security_invoker=true' = any (reloptions), false) as invoker
       from pg_class where relnamespace = 'patchbay'::regnamespace and relkind in ('v', 'm')`,
    )
    expect(rows).toEqual([{ relname: 'webhook_deliveries', invoker: true }])
  })

  test('has three functions that act with their owner’s rights, with a fixed search path', async () => {
    const { rows } = await database.pool.query(
      `select proname, proconfig from pg_proc
       where pronamespace = 'patchbay'::regnamespace and prosecdef order by 1`,
    )
    const proconfig = ['search_path=pg_catalog, pg_temp']
    expect(rows).toEqual([
      { proname: 'emit_event', proconfig },
      { proname: 'note_egress_allow_list', proconfig },
      { proname: 'place_event', proconfig },
    ])
  })
})

describe('a start', () => {
  /** The check, after something was done to the role or the tables, all of it undone in the end. */
  async function checkAfter(...statements: string[]): Promise<string | null> {
    const client = await database.pool.connect()
    try {
      await client.query('begin')
      for (const statement of statements) await client.query(statement)
      return await findApiRole(client).then(
        () => null,
        (error: Error) => error.message,
      )
    } finally {
      await client.query('rollback')
      client.release()
    }
  }
  const quoted = () => pg.escapeIdentifier(role)

  test('goes on with a role that row-level security holds', async () => {
    expect(await checkAfter()).toBeNull()
  })

  test('is refused with a role that could bypass it', async () => {
    expect(await checkAfter(`alter role ${quoted()} bypassrls`)).toMatch(/could bypass/)
    expect(await checkAfter(`alter role ${quoted()} superuser`)).toMatch(/could bypass/)
  })

  test('is refused with a role that logs in, or that somebody else may act as', async () => {
    expect(await checkAfter(`alter role ${quoted()} login`)).toMatch(/may log in/)
    const mallory = ['create role mallory login', `grant ${quoted()} to mallory`]
    expect(await checkAfter(...mallory)).toMatch(/^mallory may act as/)
  })

  test('is refused with a role that owns a table, or is a member of the owner', async () => {
    expect(await checkAfter(`alter table patchbay.messages owner to ${quoted()}`)).toMatch(
      /owns messages/,
    )
    expect(
      await checkAfter(
        'create role keeper',
        'alter table patchbay.messages owner to keeper',
        `grant keeper to ${quoted()}`,
      ),
    ).toMatch(/owns messages/)
  })

  test('is refused where a table is open', async () => {
    const open = /does not hold on tool_runs/
    expect(await checkAfter('alter table patchbay.tool_runs disable row level security')).toMatch(
      open,
    )
    expect(await checkAfter('drop policy own_org on patchbay.tool_runs')).toMatch(open)
    expect(await checkAfter('create table patchbay.later (org_id text not null)')).toMatch(
      /does not hold on later/,
    )
  })

  test('is refused for a login that would see no rows, or may not act as the role', async () => {
    const login = `login_${randomUUID().slice(0, 8)}`
    const setUp = [
      `create role ${login} login`,
      `grant usage on schema patchbay to ${login}`,
      `grant select on all tables in schema patchbay to ${login}`,
      `set local role ${login}`,
    ]
    expect(await checkAfter(...setUp)).toMatch(/would see no rows/)
  })
})
