import { join } from 'node:path'
import type pg from 'pg'
import { openEmbedded } from '../../../src/db/embedded.ts'
import { asAdmin, makeTemplates } from '../databases.ts'
import { toLanes } from '../emit.ts'
import { measureEndToEnd } from '../end-to-end.ts'
import { copyLanes } from '../lanes.ts'
import type { Part } from '../part.ts'
import { wrongs } from '../results.ts'

const STATEMENTS_GOAL = 0.1
const WAL_GOAL_KB = 1.5
const LANES = 20
const FLAGS = [
  'shared_preload_libraries=pg_stat_statements',
  'pg_stat_statements.track=top',
  'pg_stat_statements.max=10000',
]

/**
 * Statements and write-ahead log of a delivery at full load, on a server of its own that counts statements, which costs a little.
 *
 * Counted is whatever anybody but the bench sends to this database, transactions' begin and commit included, from the commit of
 * the events until nothing is owed. The events' own rows are not in the log that is counted, because all of theirs is written
 * before their commit returns; what is in it are the deliveries, made and taken away, their log, pg-boss and the server's own
 * doings.
 */
export const statementsPart: Part = {
  name: 'statements',
  isOnce: true,
  measure: async (plainStage) => {
    const dir = join(plainStage.dir, 'counting')
    await using server = await openEmbedded({ dir, port: 0, flags: FLAGS })
    const { newName } = plainStage
    const templates = makeTemplates(server.url, newName, plainStage.isQuick)
    const stage = { ...plainStage, serverUrl: server.url, templates }
    await using database = await copyLanes(stage, LANES)
    await asAdmin(database.adminUrl, 'create extension pg_stat_statements')
    const looks: number[] = []
    const measured = await measureEndToEnd(stage, {
      database,
      events: stage.size.deliveries,
      warmUp: stage.size.warmUp,
      to: toLanes(LANES),
      look: async (pool) => {
        looks.push(await countStatements(pool))
      },
    })
    const [first = 0, last = 0] = looks
    const { deliveries, marks } = measured
    const statements = last - first
    const walKb = (marks.end.wal - marks.emitted.wal) / 1024
    return [
      {
        name: 'statements_per_delivery',
        title: 'SQL statements at full load',
        value: statements / deliveries,
        unit: 'per delivery',
        goal: STATEMENTS_GOAL,
        bound: 'at most',
        detail: `${statements} for ${deliveries}`,
      },
      {
        name: 'wal_per_delivery',
        title: 'write-ahead log of a delivery, without its event',
        value: walKb / deliveries,
        unit: 'kB',
        goal: WAL_GOAL_KB,
        bound: 'at most',
        detail: `${(walKb / 1024).toFixed(1)} MB for ${deliveries}`,
      },
      wrongs('statements', [measured]),
    ]
  },
}

/** The bench looks as the superuser; nobody else does. */
async function countStatements(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ calls: number }>(`
    select coalesce(sum(s.calls), 0)::float8 as calls
    from pg_stat_statements as s
    join pg_database as d on d.oid = s.dbid
    join pg_roles as r on r.oid = s.userid
    where d.datname = current_database() and r.rolname <> current_user`)
  return rows[0]?.calls ?? 0
}
