import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { findApiRole } from './tenants.ts'

let database: TestDatabase
let mine: string
let theirs: string
let role: string
beforeAll(async () => {
  database = await openTestDatabase()
  role = await findApiRole(database.pool)
  mine = await database.addOrg()
  theirs = await database.addOrg()
  for (const orgId of [mine, theirs]) await fill(orgId)
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
})

/** A row in each table of an org. */
async function fill(orgId: string): Promise<void> {
  const { pool } = database
  const run = (text: string, ...values: unknown[]) => pool.query(text, [orgId, ...values])
  await pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('generic-webhook', 'Webhook', '', '{}') on conflict do nothing`,
  )
  const { rows } = await run(
    `insert into patchbay.org_integrations (org_id, provider_key, name) values ($1, 'generic-webhook', 'Hooks') returning id`,
  )
  const integrationId: string = rows[0].id
  const webhook = await run(
    `insert into patchbay.webhook_subscriptions (org_id, integration_id, url, event_types, secrets)
     values ($1, $2, 'https://hooks.example.com/', '{*}', '') returning id`,
    integrationId,
  )
  const webhookId: string = webhook.rows[0].id
  await run(`insert into patchbay.org_members (org_id, user_id, role) values ($1, 'ann', 'owner')`)
  await run(
    `insert into patchbay.api_keys (org_id, name, permissions, hash, hint, created_by)
     values ($1, 'CI', '{org:chat}', sha256($1::text::bytea), 'abcd', 'ann')`,
  )
  await run(
    `insert into patchbay.egress_allow_lists (org_id, domains) values ($1, '{*.example.com}')`,
  )
  await run(`insert into patchbay.data_keys (org_id, wrapped, master_key_id) values ($1, '', '')`)
  await run(`select patchbay.emit_event($1, 'a.b', '{}', idempotency_key => 'k')`)
  await run(
    `insert into patchbay.delivery_queue (org_id, subscription_id, event_id) values ($1, $2, patchbay.new_id())`,
    webhookId,
  )
  await run(
    `insert into patchbay.webhook_delivery_log (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, trigger)
     values (patchbay.new_id(), $1, $2, patchbay.new_id(), 1, 'delivered', true, 'schedule')`,
    webhookId,
  )
  await run(
    `insert into patchbay.external_tool_definitions (org_id, integration_id, name, wire_name, description, args_schema, http_config)
     values ($1, $2, 'a.b', 'a_b', '', '{}', '{}')`,
    integrationId,
  )
  await run(
    `insert into patchbay.tool_runs (id, org_id, tool, user_id, source, outcome, duration_ms, arguments)
     values (patchbay.new_id(), $1, 'a', 'ann', 'api', 'success', 1, '{}')`,
  )
  await run(
    `with c as (insert into patchbay.conversations (org_id, created_by) values ($1, 'ann') returning id)
     insert into patchbay.messages (org_id, conversation_id, role, content) select $1, c.id, 'user', 'hi' from c`,
  )
  await run(
    `insert into patchbay.idempotency_keys (org_id, principal_id, key, request_hash) values ($1, 'ann', 'k', '')`,
  )
  await run(
    `insert into patchbay.audit_log (org_id, principal_id, action, target) values ($1, 'ann', 'a.b', 'x')`,
  )
  await run(
    `with r as (
       insert into patchbay.recoveries (org_id, subscription_id, since, until, statuses, matched, requested_by)
       values ($1, $2, now(), now(), '{failed}', 1, 'ann') returning id
     )
     insert into patchbay.recovery_items (org_id, recovery_id, event_id) select $1, r.id, patchbay.new_id() from r`,
    webhookId,
  )
}

/** Tables that carry an org, with the column that names it; partitions are reached through their parent. */
async function tablesOfOrgs(): Promise<{ name: string; column: string }[]> {
  const { rows } = await database.pool.query(
    `select c.relname as name, a.attname as column
     from pg_class as c
     join pg_attribute as a on a.attrelid = c.oid and not a.attisdropped
     where c.relnamespace = 'patchbay'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
       and (a.attname = 'org_id' or (c.relname = 'orgs' and a.attname = 'id'))
     order by 1`,
  )
  return rows
}

/** What the API's role may do at all, by table. */
async function grants(): Promise<Map<string, string[]>> {
  const { rows } = await database.pool.query(
    `select table_name as name, array_agg(privilege_type::text order by privilege_type) as privileges
     from information_schema.role_table_grants where table_schema = 'patchbay' and grantee = $1 group by 1`,
    [role],
  )
  return new Map(rows.map((row) => [row.name, row.privileges]))
}

describe('a statement that forgot the org', () => {
  test('finds the rows of its own org and none of another, in every table', async () => {
    const allowed = await grants()
    const seen: string[] = []
    for (const { name, column } of await tablesOfOrgs()) {
      const all = await database.pool.query(
        `select count(distinct ${column}) as orgs from patchbay.${name}`,
      )
      // The fixture must have filled it, or this would prove nothing.
      expect([name, Number(all.rows[0].orgs)]).toEqual([name, 2])
      if (allowed.get(name)?.includes('SELECT') !== true) continue
      const found = await database.inOrg(mine, (_, client) =>
        client.query({ text: `select distinct ${column} as org from patchbay.${name}` }),
      )
      expect([name, found.rows]).toEqual([name, [{ org: mine }]])
      seen.push(name)
    }
    expect(seen.length).toBeGreaterThanOrEqual(19)
  })

  test('changes and takes out nothing of another org', async () => {
    const allowed = await grants()
    for (const { name, column } of await tablesOfOrgs()) {
      const before = await rowsOf(name, column, theirs)
      await database.inOrg(mine, async (_, client) => {
        if (allowed.get(name)?.includes('UPDATE') === true) {
          const { rowCount } = await client.query({
            text: `update patchbay.${name} set ${column} = ${column} where ${column} = $1`,
            values: [theirs],
          })
          expect([name, rowCount]).toEqual([name, 0])
        }
        if (allowed.get(name)?.includes('DELETE') === true) {
          const { rowCount } = await client.query({
            text: `delete from patchbay.${name} where ${column} = $1`,
            values: [theirs],
          })
          expect([name, rowCount]).toEqual([name, 0])
        }
      })
      expect(await rowsOf(name, column, theirs)).toEqual(before)
    }
  })

  test('cannot write a row for another org, nor give one away', async () => {
    const insert = database.inOrg(mine, (_, client) =>
      client.query({
        text: `insert into patchbay.org_members (org_id, user_id, role) values ($1, 'eve', 'owner')`,
        values: [theirs],
      }),
    )
    await expect(insert).rejects.toMatchObject({ code: '42501' })
    const give = database.inOrg(mine, (_, client) =>
      client.query({ text: 'update patchbay.org_integrations set org_id = $1', values: [theirs] }),
    )
    await expect(give).rejects.toMatchObject({ code: '42501' })
  })

  test('of the view finds its own alone, too', async () => {
    const { rows } = await database.inOrg(mine, (_, client) =>
      client.query({ text: 'select distinct org_id from patchbay.webhook_deliveries' }),
    )
    expect(rows).toEqual([{ org_id: mine }])
  })
})

async function rowsOf(name: string, column: string, orgId: string): Promise<unknown[]> {
  const { rows } = await database.pool.query(
    `select xmin::text, t::text from patchbay.${name} as t where ${column} = $1 order by 2`,
    [orgId],
  )
  return rows
}

describe('a connection of the API', () => {
  test('without an org sees nothing, before and after one that had an org', async () => {
    const count = (client: { query: (q: { text: string }) => Promise<pg.QueryResult> }) =>
      client.query({ text: 'select from patchbay.org_integrations' })
    await database.inOrg(mine, async (_, inside) => {
      expect((await count(inside)).rowCount).toBe(1)
    })
    for (let time = 0; time < 10; time += 1) {
      await database.inOrg('', async (_, client) => {
        expect((await count(client)).rowCount).toBe(0)
      })
    }
  })

  test('keeps its org when a savepoint is rolled back', async () => {
    await database.inOrg(mine, async (_, client) => {
      await client.query({ text: 'savepoint s' })
      await client.query({ text: `select set_config('app.org_id', $1, true)`, values: [theirs] })
      await client.query({ text: 'rollback to s' })
      const { rows } = await client.query({ text: 'select org_id from patchbay.org_integrations' })
      expect(rows).toEqual([{ org_id: mine }])
    })
  })

  test('has an org id with quotes in it as text', async () => {
    const odd = `o'; select set_config('app.org_id', '${theirs}', true); --\\`
    const { rows } = await database.inOrg(odd, (_, client) =>
      client.query({ text: 'select patchbay.current_org() as org' }),
    )
    expect(rows).toEqual([{ org: odd }])
  })

  test('is used again after work that failed, and not after one that it did not survive', async () => {
    const failed = database.inOrg(mine, () => Promise.reject(new Error('mine')))
    await expect(failed).rejects.toThrow('mine')
    const killed = database.inOrg(mine, (_, client) =>
      client.query({ text: 'select pg_terminate_backend(pg_backend_pid())' }),
    )
    await expect(killed).rejects.toThrow()
    const { rows } = await database.inOrg(mine, (_, client) =>
      client.query({ text: 'select 1 as one' }),
    )
    expect(rows).toEqual([{ one: 1 }])
  })

  test('may neither truncate, nor read keys, nor rewrite what was done', async () => {
    const refused = { code: '42501' }
    const run = (text: string) => database.inOrg(mine, (_, client) => client.query({ text }))
    await expect(run('truncate patchbay.messages')).rejects.toMatchObject(refused)
    await expect(run('select from patchbay.data_keys')).rejects.toMatchObject(refused)
    await expect(run('select hash from patchbay.api_keys')).rejects.toMatchObject(refused)
    await expect(run(`update patchbay.api_keys set name = 'x'`)).rejects.toMatchObject(refused)
    await expect(run('select from patchbay.schema_migrations')).rejects.toMatchObject(refused)
    await expect(run(`update patchbay.audit_log set target = 'y'`)).rejects.toMatchObject(refused)
    await expect(run('delete from patchbay.audit_log')).rejects.toMatchObject(refused)
    await expect(run('delete from patchbay.outbox_events')).rejects.toMatchObject(refused)
    await expect(
      run('update patchbay.webhook_delivery_log set error = null'),
    ).rejects.toMatchObject(refused)
    await expect(
      run('alter table patchbay.messages disable row level security'),
    ).rejects.toMatchObject(refused)
    await expect(run('create table patchbay.x ()')).rejects.toMatchObject(refused)
  })
})

describe('the catalogue', () => {
  test('closes every table that has an org, by policies for reading and for writing', async () => {
    const { rows } = await database.pool.query(
      `select c.relname as name, c.relrowsecurity and c.relforcerowsecurity as is_forced,
         array_agg(p.polname::text order by p.polname) as policies,
         bool_and(p.polcmd = '*' and p.polqual is not null and p.polwithcheck is not null) as both_ways
       from pg_class as c
       left join pg_policy as p on p.polrelid = c.oid
       where c.oid = any ($1::regclass[])
       group by 1, 2`,
      [(await tablesOfOrgs()).map(({ name }) => `patchbay.${name}`)],
    )
    expect(rows.length).toBeGreaterThanOrEqual(20)
    for (const row of rows) {
      const { name, ...rest } = row
      expect([name, rest]).toEqual([
        name,
        { is_forced: true, policies: ['all_orgs', 'own_org'], both_ways: true },
      ])
    }
  })

  test('has an org in every table but the few that belong to nobody', async () => {
    const ofOrgs = new Set((await tablesOfOrgs()).map(({ name }) => name))
    const { rows } = await database.pool.query(
      `select relname as name from pg_class
       where relnamespace = 'patchbay'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1`,
    )
    expect(rows.map(({ name }) => name).filter((name) => !ofOrgs.has(name))).toEqual([
      'integration_providers',
      'partitioned_tables',
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
      [(await tablesOfOrgs()).map(({ name }) => `patchbay.${name}`)],
    )
    // The hash of an API key is one of 32 random bytes.
    const isOurs = (column: string) =>
      column === 'hash bytea' || / (uuid|bigint|timestamp with time zone)$/.test(column)
    const loose = rows.filter(
      ({ columns }) => columns[0] !== 'org_id text' && !columns.every(isOurs),
    )
    expect(loose).toEqual([])
    expect(rows.length).toBeGreaterThan(20)
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

test('a reader whom the owner lets in reads every org, and writes none', async () => {
  const reader = `reader_${randomUUID().slice(0, 8)}`
  const client = await database.pool.connect()
  const seen = async (table: string) =>
    (await client.query(`select distinct org_id from patchbay.${table}`)).rows.length
  try {
    await client.query('begin')
    await client.query(`create role ${reader}`)
    await client.query('select patchbay.show_to($1)', [reader])
    // As often as tables come along.
    await client.query('select patchbay.show_to($1)', [reader])
    await client.query(`set local role ${reader}`)
    expect(await seen('webhook_deliveries')).toBe(2)
    expect(await seen('audit_log')).toBe(2)
    await client.query('savepoint s')
    await expect(client.query('delete from patchbay.messages')).rejects.toMatchObject({
      code: '42501',
    })
    await client.query('rollback to s')
    await expect(seen('data_keys')).rejects.toMatchObject({ code: '42501' })
  } finally {
    await client.query('rollback')
    client.release()
  }
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
    expect(await checkAfter('alter table patchbay.tool_runs no force row level security')).toMatch(
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
