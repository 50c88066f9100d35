import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'

const FIRST_MIGRATION = join(import.meta.dirname, '../../migrations/0001_orgs.sql')

let database: TestDatabase
beforeEach(async () => {
  database = await openTestDatabase()
})
afterEach(() => database[Symbol.asyncDispose]())

const query = async (text: string, values: unknown[] = []) =>
  (await database.pool.query(text, values)).rows
const ensure = async (aheadDays: number): Promise<number> =>
  (await query('select patchbay.ensure_partitions($1) as made', [aheadDays]))[0].made
const dropOne = async (days: number): Promise<string | null> =>
  (await query('select patchbay.drop_old_partition($1) as dropped', [days]))[0].dropped
/** What goes, by table, oldest day first. */
async function dropOlderThan(days: number): Promise<string[]> {
  const dropped: string[] = []
  for (let name = await dropOne(days); name !== null; name = await dropOne(days)) {
    dropped.push(name.replace(/_\d{8}$/, ''))
  }
  return dropped
}
const partitionOf = async (id: string): Promise<string | undefined> =>
  (
    await query(
      'select (select relname from pg_class where oid = e.tableoid) as name from patchbay.outbox_events as e where id = $1',
      [id],
    )
  )[0]?.name

/** An event of a day that is so many days away. */
async function addEvent(inDays: number): Promise<string> {
  const [row] = await query(
    `insert into patchbay.outbox_events (id, org_id, type, data, occurred_at, only_for)
     select overlay(patchbay.id_floor(now() + make_interval(days => $1))::text placing right(gen_random_uuid()::text, 12) from 25)::uuid,
       'org', 'a.b', '{}', now(), gen_random_uuid()
     returning id`,
    [inDays],
  )
  return row.id
}

/** The partitions of a day that is so many days ago. */
async function addOldDay(days: number): Promise<void> {
  await query(
    `do $do$
     declare
       parent text;
       day timestamptz := date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' - interval '${days} days';
     begin
       for parent in select name from patchbay.partitioned_tables loop
         execute format('create table patchbay.%I partition of patchbay.%I for values from (%L) to (%L)',
           parent || to_char(day at time zone 'UTC', '"_"YYYYMMDD'), parent,
           patchbay.id_floor(day), patchbay.id_floor(day + interval '1 day'));
       end loop;
     end $do$`,
  )
}

describe('ensure_partitions', () => {
  test('makes each day once', async () => {
    expect(await ensure(14)).toBe(0)
    expect(await ensure(16)).toBe(6)
    expect(await ensure(16)).toBe(0)
  })

  test('at once in several processes makes each day once', async () => {
    const made = await Promise.all([ensure(18), ensure(18), ensure(18)])
    expect(made.toSorted()).toEqual([0, 0, 12])
  })

  test('gives each day the statistics of its parent', async () => {
    await ensure(20)
    const rows = await query(
      `select c.relname from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
       where i.inhparent = 'patchbay.webhook_delivery_log'::regclass
         and not exists (select from pg_statistic_ext as e where e.stxrelid = c.oid)`,
    )
    expect(rows).toEqual([])
  })

  test('moves rows that the default partition caught into their day', async () => {
    const id = await addEvent(20)
    const beyond = await addEvent(30)
    expect(await partitionOf(id)).toBe('outbox_events_default')
    await ensure(25)
    expect(await partitionOf(id)).toMatch(/^outbox_events_\d{8}$/)
    expect(await partitionOf(beyond)).toBe('outbox_events_default')
  })

  test('a row of today goes into the partition of today', async () => {
    const today = new Date().toISOString().slice(0, 10).replaceAll('-', '')
    expect(await partitionOf(await addEvent(0))).toBe(`outbox_events_${today}`)
  })
})

describe('drop_old_partition', () => {
  test('drops whole days past the retention, the log a week later, and no other', async () => {
    await addOldDay(40)
    await addOldDay(35)
    await addOldDay(20)
    const old = await addEvent(-40)
    const recent = await addEvent(-20)
    expect(await dropOlderThan(30)).toEqual([
      'outbox_events',
      'tool_runs',
      'webhook_delivery_log',
      'outbox_events',
      'tool_runs',
    ])
    expect(await partitionOf(old)).toBeUndefined()
    expect(await partitionOf(recent)).toMatch(/outbox_events_\d{8}$/)
    expect(await dropOlderThan(30)).toEqual([])
  })

  test('keeps a day of events that is still owed to somebody; expire_owed ends that in the log', async () => {
    await addOldDay(40)
    const id = await addEvent(-40)
    await query(
      `insert into patchbay.delivery_queue (org_id, subscription_id, event_id, ready, due_at)
       values ('org', gen_random_uuid(), $1, false, 'infinity')`,
      [id],
    )
    expect(await dropOlderThan(30)).not.toContain('outbox_events')
    expect(await partitionOf(id)).toBeDefined()
    expect(await query('select patchbay.expire_owed(50, 10) as ended')).toEqual([{ ended: 0 }])
    expect(await query('select patchbay.expire_owed(30, 10) as ended')).toEqual([{ ended: 1 }])
    expect(
      await query('select event_id, outcome, is_final, error from patchbay.webhook_delivery_log'),
    ).toEqual([
      {
        event_id: id,
        outcome: 'expired',
        is_final: true,
        error: 'still owed when the retention of 30 days ended',
      },
    ])
    expect(await dropOlderThan(30)).toEqual(['outbox_events'])
    expect(await partitionOf(id)).toBeUndefined()
  })

  test('keeps a day of events that is not fanned out yet', async () => {
    await addOldDay(40)
    const id = await addEvent(-40)
    await query(`insert into patchbay.outbox_pending (event_id, org_id) values ($1, 'org')`, [id])
    expect(await dropOlderThan(30)).not.toContain('outbox_events')
    expect(await partitionOf(id)).toBeDefined()
  })

  test('gives way to a snapshot that is held open, so that no emit waits behind it', async () => {
    await addOldDay(40)
    const orgId = await database.addOrg()
    const reader = await database.pool.connect()
    await reader.query('begin isolation level repeatable read')
    await reader.query('select count(*) from patchbay.outbox_events')
    const startedAt = performance.now()
    const dropping = dropOne(30)
    await query(`select patchbay.emit_event($1, 'a', '{}')`, [orgId])
    expect(await dropping).toBeNull()
    expect(performance.now() - startedAt).toBeLessThan(5000)
    await reader.query('commit')
    reader.release()
    expect(await dropOlderThan(30)).toContain('outbox_events')
  })
})

describe.each([
  ['new_id() of this server', async () => 'patchbay.new_id'],
  [
    'new_id() of servers before 18',
    async () => {
      const text = await readFile(FIRST_MIGRATION, 'utf8')
      const body = /as \$body\$(.*?)\$body\$/s.exec(text)?.[1]
      await query(
        `create function patchbay.old_new_id() returns uuid language sql volatile as $$${body}$$`,
      )
      return 'patchbay.old_new_id'
    },
  ],
])('%s', (_, makeFunction) => {
  test('makes UUIDv7 of the time they were made', async () => {
    const name = await makeFunction()
    const rows = await query(
      `select id::text, abs(extract(epoch from patchbay.id_time(id) - clock_timestamp()))::float8 as off_s
       from (select ${name}() as id from generate_series(1, 1000)) as made`,
    )
    for (const { id, off_s } of rows) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(off_s).toBeLessThan(1)
    }
    expect(new Set(rows.map((row) => row.id)).size).toBe(1000)
  })

  test('sorts in the order in which they were made', async () => {
    const name = await makeFunction()
    const ids: string[] = []
    for (let n = 0; n < 100; n += 1) ids.push((await query(`select ${name}() as id`))[0].id)
    expect(ids).toEqual(ids.toSorted())
  })
})

test('the floor of a moment is not above any id of that millisecond and above all before it', async () => {
  const [row] = await query(
    `select patchbay.id_floor(patchbay.id_time(id)) <= id as is_floor,
       patchbay.id_floor(patchbay.id_time(id) + interval '1 ms') > id as is_next
     from (select patchbay.new_id() as id) as made`,
  )
  expect(row).toEqual({ is_floor: true, is_next: true })
})

test('rows of days long past that only a default partition has get their day, and leave with it', async () => {
  const old = await addEvent(-400)
  const older = await addEvent(-500)
  expect(await ensure(14)).toBe(2)
  expect(await partitionOf(old)).toMatch(/^outbox_events_\d{8}$/)
  expect(await dropOlderThan(450)).toEqual(['outbox_events'])
  expect(await partitionOf(older)).toBeUndefined()
  expect(await partitionOf(old)).toBeDefined()
})
