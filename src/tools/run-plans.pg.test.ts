import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import type { SendInOrg } from '../db/tenants.ts'
import { makeRunHistory, type RunFilter } from './run-history.ts'

const ROWS = 60_000
const NO_FILTER: RunFilter = {
  tool: null,
  outcome: null,
  conversationId: null,
  source: null,
  since: null,
  until: null,
}

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
  for (const orgId of ['big', 'other']) await database.addOrg(orgId)
  await database.pool.query(
    `insert into patchbay.tool_runs
       (id, org_id, tool, user_id, source, conversation_id, outcome, duration_ms, arguments, result)
     select patchbay.new_id(), case when n % 3 = 0 then 'other' else 'big' end, 'tool.' || n % 2000, 'ann', 'chat',
       'c' || n % 2000, case when n % 1000 = 1 then 'error' else 'success' end, 5, '{}', repeat('x', 300)
     from generate_series(1, ${ROWS}) as n`,
  )
  await database.pool.query('vacuum analyze patchbay.tool_runs')
})
afterAll(() => database[Symbol.asyncDispose]())

interface Plan {
  readonly 'Index Name'?: string
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly Plans?: readonly Plan[]
}

async function planOf(filter: Partial<RunFilter>) {
  const plans: Plan[] = []
  const explaining: SendInOrg = async (orgId, text, values) => {
    const explained = await database.readInOrg<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      orgId,
      `explain (analyze, buffers, timing off, format json) ${text}`,
      values,
    )
    plans.push(...explained.map((row) => row['QUERY PLAN'][0].Plan))
    return []
  }
  const history = makeRunHistory({ readInOrg: explaining, nameOf: async () => null })
  await history.list('big', { ...NO_FILTER, ...filter }, { limit: 50, after: null })
  const indexes = (plan: Plan): string[] => [
    ...(plan['Index Name'] === undefined ? [] : [plan['Index Name']]),
    ...(plan.Plans ?? []).flatMap(indexes),
  ]
  return {
    indexes: [...new Set(plans.flatMap(indexes))].join(),
    pages: plans.reduce((sum, p) => sum + p['Shared Hit Blocks'] + p['Shared Read Blocks'], 0),
  }
}

test.each<[string, Partial<RunFilter>, RegExp]>([
  ['the newest runs', {}, /_org_id_id_idx|_pkey/],
  ['runs of a tool that seldom runs', { tool: 'tool.7' }, /_org_id_tool_id_idx/],
  ['runs of a tool that never ran', { tool: 'no' }, /_org_id_tool_id_idx/],
  ['runs of a conversation', { conversationId: 'c7' }, /_org_id_conversation_id_id_idx/],
  ['runs that failed', { outcome: 'error' }, /_org_id_outcome_id_idx/],
  ['runs that nobody knows the end of', { outcome: 'unknown' }, /_org_id_outcome_id_idx/],
  ['runs that are under way', { outcome: 'running' }, /_due_at_idx/],
])('%s are found by their index, in some pages', async (_, filter, index) => {
  const { indexes, pages } = await planOf(filter)
  expect(indexes).toMatch(index)
  expect(pages).toBeLessThan(200)
})
