import type { Order, Times } from './children/host.ts'
import { type EmptyDatabase, openDatabase } from './databases.ts'
import { subscribeLanes } from './lanes.ts'
import type { Stage } from './part.ts'
import { startChild } from './processes.ts'

/** Where the control of a bench part keeps its rows: the columns, key and index of `outbox_events`, nothing else. */
export const PLAIN_TABLE =
  'create table public.plain_events (like patchbay.outbox_events including all)'

export interface Host {
  readonly database: EmptyDatabase
  readonly run: (order: Order) => Promise<Times>
}

/** A host on a new database, with one lane that leads to itself. See `children/host.ts`. */
export async function openHost(
  stage: Stage,
  stack: AsyncDisposableStack,
  of: string,
): Promise<Host> {
  const database = stack.use(await openDatabase(stage, of))
  await database.pool.query(PLAIN_TABLE)
  const child = stack.use(
    startChild<{ port: number }>({
      script: 'scripts/bench/children/host.ts',
      args: [database.url],
      signal: stage.signal,
    }),
  )
  const url = `http://127.0.0.1:${(await child.message).port}`
  await subscribeLanes({
    url: database.url,
    masterKey: database.masterKey,
    lanes: 1,
    base: url,
  })
  return {
    database,
    run: async (order) => {
      const body = JSON.stringify(order)
      const response = await fetch(`${url}/run`, { method: 'POST', body, signal: stage.signal })
      const times: Times = JSON.parse(await response.text())
      return times
    },
  }
}
