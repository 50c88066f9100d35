import { makeDb } from '../../../src/db/pool.ts'
import { findApiRole, type InOrg, openTenants } from '../../../src/db/tenants.ts'
import { fillBothOrgs, HISTORY_ASKS, isDearer, pagesOf } from '../../../test/plans/history.ts'
import { fillHot, HOT_STATEMENTS, planProblem } from '../../../test/plans/hot.ts'
import { openDatabase } from '../databases.ts'
import type { Part, Result, Stage } from '../part.ts'

/** The plan tests of `npm test`, at a million rows. */
export const plansPart: Part = {
  name: 'plans',
  isOnce: true,
  measure: async (stage: Stage): Promise<Result[]> => {
    const rows = stage.isQuick ? 20_000 : 1_000_000
    const problems = [...(await hotProblems(stage, rows)), ...(await historyProblems(stage, rows))]
    for (const problem of problems) stage.say(problem)
    const statements = 2 * HOT_STATEMENTS.length + HISTORY_ASKS.length
    return [
      {
        name: 'plans_at_a_million',
        title: `hot statements with another plan than wanted, at ${rows.toLocaleString('en')} rows`,
        value: problems.length,
        unit: '',
        goal: 0,
        bound: 'at most',
        detail: `of ${statements} plans${problems.map((problem) => `; ${problem.split('\n')[0]}`).join('')}`,
      },
    ]
  },
}

async function hotProblems(stage: Stage, rows: number): Promise<string[]> {
  await using database = await openDatabase(stage, 'plans')
  const client = await database.pool.connect()
  try {
    await client.query('set statement_timeout = 0')
    await fillHot(client, rows)
    const problems: string[] = []
    for (const statement of HOT_STATEMENTS) {
      for (const isGeneric of [false, true]) {
        const problem = await planProblem(client, statement, isGeneric)
        if (problem !== null) problems.push(problem)
      }
      stage.signal.throwIfAborted()
    }
    return problems
  } finally {
    client.release(true)
  }
}

async function historyProblems(stage: Stage, rows: number): Promise<string[]> {
  await using database = await openDatabase(stage, 'plans')
  const { pool } = database
  const client = await pool.connect()
  try {
    await client.query('set statement_timeout = 0')
    const ids = await fillBothOrgs(client, rows)
    await using tenants = openTenants({
      url: database.url,
      role: await findApiRole(pool),
      max: 2,
      applicationName: 'bench api',
      onError: () => undefined,
    })
    const asOwner: InOrg = (_org, work) => work(makeDb(pool), pool)
    const problems: string[] = []
    for (const ask of HISTORY_ASKS) {
      const free = await pagesOf(ask, asOwner, ids)
      const closed = await pagesOf(ask, tenants.inOrg, ids)
      if (isDearer(closed, free)) {
        problems.push(`${ask.name}: ${closed} pages under row-level security, ${free} without`)
      }
      stage.signal.throwIfAborted()
    }
    return problems
  } finally {
    client.release(true)
  }
}
