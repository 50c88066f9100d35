import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../../../test/fixtures/database.ts'
import type { Queryable } from '../../../db/pool.ts'
import { makeLog } from '../../../telemetry/log.ts'
import { makeReadDue } from './read-due.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
  await database.addOrg('big')
  await database.pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('mcp', 'MCP', '', '{}'), ('hook', 'Hook', '', '{}') on conflict do nothing`,
  )
  await database.pool.query(
    `insert into patchbay.org_integrations (org_id, provider_key, name, config, tools_fresh_until)
     select 'big', case when n % 10 = 0 then 'mcp' else 'hook' end, 'n' || n, '{}',
       case when n % 10 = 0 then now() + make_interval(secs => n - 200) end
     from generate_series(1, 20000) as n`,
  )
  await database.pool.query('vacuum analyze patchbay.org_integrations')
})
afterAll(() => database[Symbol.asyncDispose]())

test('MCP servers whose time has come are found by their index, in some pages', async () => {
  const plans: string[] = []
  const db: Pick<Queryable, 'query'> = {
    query: async ({ text, values }: { text: string; values?: unknown[] }) => {
      const { rows } = await database.pool.query(`explain (analyze, buffers) ${text}`, values)
      plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'))
      return { rows: [], rowCount: 0, fields: [], command: '', oid: 0 }
    },
  }
  await makeReadDue({
    db,
    readTools: async () => ({ kind: 'left' }),
    log: makeLog('silent'),
  })()
  expect(plans).toHaveLength(1)
  expect(plans[0]).toContain('org_integrations_tools_due')
  expect(plans[0]).not.toContain('Seq Scan')
})
