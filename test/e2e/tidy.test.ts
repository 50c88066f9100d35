import { expect, test } from 'vitest'
import { openTestDatabase } from '../fixtures/database.ts'
import { newSecrets, startPatchbay, until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { subscribe } from '../fixtures/subscription.ts'

/** Twice what it asks after: statistics may be a second late. */
const EVENTS = 45_000

test('a worker that is busy vacuums the queue, without waiting for autovacuum', async () => {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await openTestDatabase())
  const orgId = await database.addOrg()
  const receiver = stack.use(await openReceiver((response) => response.end('ok')))
  const secrets = newSecrets()
  const input = { url: `${receiver.url}/hook`, eventTypes: ['*'] }
  await subscribe(database, secrets.MASTER_KEY, orgId, input)
  await database.pool.query('alter table patchbay.delivery_queue set (autovacuum_enabled = off)')
  await database.pool.query(
    `select count(patchbay.emit_event($1, 'load.test', '{}')) from generate_series(1, $2)`,
    [orgId, EVENTS],
  )
  const worker = stack.use(startPatchbay('worker', { ...secrets, DATABASE_URL: database.url }))
  const vacuums = async () => {
    const { rows } = await database.pool.query(
      `select vacuum_count::int as count from pg_stat_user_tables where relid = 'patchbay.delivery_queue'::regclass`,
    )
    return rows[0].count
  }
  await until('it is vacuumed', async () => (await vacuums()) > 0, 90_000)
  worker.kill('SIGTERM')
  expect(await worker.exited).toBe(0)
  expect(worker.output()).not.toContain('queue.not_tidied')
}, 120_000)
