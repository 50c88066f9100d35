import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { until } from '../../test/fixtures/process.ts'
import { fillOrg, tablesOfOrgs } from '../../test/fixtures/tenants.ts'
import { findApiRole, openTenants } from './tenants.ts'

let database: TestDatabase
let mine: string
let theirs: string
let role: string
beforeAll(async () => {
  database = await openTestDatabase()
  role = await findApiRole(database.pool)
  mine = await database.addOrg()
  theirs = await database.addOrg()
  for (const orgId of [mine, theirs]) await fillOrg(database.pool, orgId)
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
})

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
    for (const { name, column } of await tablesOfOrgs(database.pool)) {
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
    for (const { name, column } of await tablesOfOrgs(database.pool)) {
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
  test('asks for no helpers and compiles nothing, whatever a statement seems to cost', async () => {
    const [plan, jit] = await database.inOrg(mine, async (_, client) => {
      // Asks for a helper wherever one is allowed.
      await client.query({ text: 'set local debug_parallel_query = on' })
      return [
        await client.query<{ 'QUERY PLAN': string }>({
          text: 'explain select count(*) from patchbay.webhook_delivery_log',
        }),
        await client.query<{ jit: string }>({ text: 'show jit' }),
      ]
    })
    expect(plan.rows.map((row) => row['QUERY PLAN']).join('\n')).not.toContain('Gather')
    expect(jit.rows).toEqual([{ jit: 'off' }])
  })

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

  test('acts as the role whatever options the operator’s URL has, and keeps those', async () => {
    const url = new URL(database.url)
    url.searchParams.set('options', '-c search_path=public')
    const log = { max: 1, applicationName: 'test', onError: () => undefined }
    await using tenants = openTenants({ ...log, url: url.href, role })
    const { rows } = await tenants.inOrg(mine, (_, client) =>
      client.query({
        text: `select id, current_user::text as role, current_setting('search_path') as path from patchbay.orgs`,
      }),
    )
    expect(rows).toEqual([{ id: mine, role, path: 'public' }])
  })

  test('does not say that it committed what was rolled back', async () => {
    const swallowed = database.inOrg(mine, async (_, client) => {
      await client.query({
        text: `insert into patchbay.conversations (org_id, created_by) values ($1, 'ann')`,
        values: [mine],
      })
      await client.query({ text: 'select 1 / 0' }).catch(() => undefined)
    })
    await expect(swallowed).rejects.toThrow('rolled back')
  })

  test('emits for its own org alone', async () => {
    const emitFor = (orgId: string) =>
      database.inOrg(mine, (_, client) =>
        client.query({ text: `select patchbay.emit_event($1, 'a.b', '{}')`, values: [orgId] }),
      )
    await emitFor(mine)
    await expect(emitFor(theirs)).rejects.toMatchObject({ code: '42501' })
  })

  test('is used again after work that failed, and not after one that it did not survive', async () => {
    const failed = database.inOrg(mine, () => Promise.reject(new Error('mine')))
    await expect(failed).rejects.toThrow('mine')
    const killed = database.inOrg(mine, (_, client) =>
      client.query({ text: 'select pg_terminate_backend(pg_backend_pid())' }),
    )
    await expect(killed).rejects.toThrow()
    // Between two statements, when nobody waits for an answer of that connection.
    const lost = database.inOrg(mine, async (_, client) => {
      const { rows: own } = await client.query({ text: 'select pg_backend_pid() as pid' })
      await database.pool.query('select pg_terminate_backend($1)', [own[0]?.pid])
      const isGone = async () => {
        const { rows: there } = await database.pool.query(
          'select from pg_stat_activity where pid = $1',
          [own[0]?.pid],
        )
        return there.length === 0
      }
      await until('the backend is gone', isGone)
      await client.query({ text: 'select 1' })
    })
    await expect(lost).rejects.toThrow()
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
