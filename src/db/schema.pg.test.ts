import { getTableConfig, PgTable } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import * as schema from './schema.ts'
import * as toolTables from './tool-tables.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const tables = Object.values({ ...schema, ...toolTables })
  .filter((entry) => entry instanceof PgTable)
  .map(getTableConfig)

test.each(tables)(
  '$name has the columns, types, nullability and defaults of the database',
  async (table) => {
    const { rows } = await database.pool.query(
      `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as not_null,
       a.atthasdef as has_default
     from pg_attribute as a
     where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped
     order by a.attname collate "C"`,
      [`patchbay.${table.name}`],
    )
    const columns = table.columns.map((column) => ({
      name: column.name,
      type: column.getSQLType(),
      not_null: column.notNull,
      has_default: column.hasDefault || column.generated !== undefined,
    }))
    expect(table.schema).toBe('patchbay')
    expect(columns.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual(rows)
  },
)

test.each(tables)('$name has the primary key of the database', async (table) => {
  const { rows } = await database.pool.query(
    `select a.attname as name from pg_index as i
     join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
     where i.indrelid = to_regclass($1) and i.indisprimary`,
    [`patchbay.${table.name}`],
  )
  const key = [
    ...table.columns.filter((column) => column.primary),
    ...table.primaryKeys.flatMap((primaryKey) => primaryKey.columns),
  ]
  expect(key.map((column) => column.name).toSorted()).toEqual(
    rows.map((row) => row.name).toSorted(),
  )
})

test('every table of the product is described', async () => {
  const { rows } = await database.pool.query(
    `select relname as name from pg_class
     where relnamespace = 'patchbay'::regnamespace and relkind in ('r', 'p') and not relispartition`,
  )
  const described = tables.map((table) => table.name)
  const internal = ['partitioned_tables', 'schema_migrations']
  expect(rows.map((row) => row.name).toSorted()).toEqual([...described, ...internal].toSorted())
})
