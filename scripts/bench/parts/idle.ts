import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEmbedded } from '../../../src/db/embedded.ts'
import { asAdmin, openDatabase } from '../databases.ts'
import type { Part, Result, Stage } from '../part.ts'
import { startProduct } from '../workers.ts'

/**
 * What a worker asks of Postgres while nothing happens, pg-boss's statements included. On a server of its own, because
 * `pg_stat_statements` has to be loaded when a server starts.
 */
export const idlePart: Part = {
  name: 'idle',
  isOnce: true,
  measure: async (stage: Stage): Promise<Result[]> => {
    const { settleMs, seconds } = stage.isQuick
      ? { settleMs: 500, seconds: 1 }
      : { settleMs: 5000, seconds: 10 }
    await using stack = new AsyncDisposableStack()
    const server = stack.use(
      await openEmbedded({
        dir: join(stage.dir, stage.newName('idle')),
        port: 0,
        flags: ['shared_preload_libraries=pg_stat_statements', 'pg_stat_statements.max=10000'],
      }),
    )
    const own = { ...stage, serverUrl: server.url }
    await asAdmin(server.url, 'create extension pg_stat_statements')
    const database = stack.use(await openDatabase(own, 'idle'))
    stack.use(await startProduct('worker', own, database))
    await sleep(settleMs, undefined, { signal: stage.signal })
    const before = await countCalls(server.url, database.url)
    const startedAt = performance.now()
    await sleep(seconds * 1000, undefined, { signal: stage.signal })
    const after = await countCalls(server.url, database.url)
    const perSecond = (pick: keyof Calls) =>
      (after[pick] - before[pick]) / ((performance.now() - startedAt) / 1000)
    return [
      {
        name: 'idle_statements',
        title: 'statements of an idle worker',
        value: perSecond('all'),
        unit: '/s',
        goal: 25,
        bound: 'at most',
        detail: `over ${seconds} s; pg-boss ${perSecond('ofJobs').toFixed(1)}/s of them`,
      },
    ]
  },
}

interface Calls {
  readonly all: number
  /** What pg-boss asks in its own schema. */
  readonly ofJobs: number
}

/** Counted from another database, so that the count is none of them. */
async function countCalls(serverUrl: string, databaseUrl: string): Promise<Calls> {
  const name = new URL(databaseUrl).pathname.slice(1)
  const [counted] = await asAdmin<Calls>(
    serverUrl,
    `select sum(s.calls)::int as "all", coalesce(sum(s.calls) filter (where s.query like '%pgboss%'), 0)::int as "ofJobs"
     from pg_stat_statements as s
     join pg_database as d on d.oid = s.dbid
     where d.datname = '${name}'`,
  )
  return counted ?? { all: 0, ofJobs: 0 }
}
