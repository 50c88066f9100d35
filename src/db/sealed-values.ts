import type { Queryable } from './pool.ts'

/** A column of sealed values, and what names a row in its org. The first byte is a version, the next sixteen its data key. */
export interface SealedColumn {
  readonly table: string
  readonly column: string
  /** Of the row within its org: what the row id is made of that the value is sealed for. */
  readonly rowKey: readonly string[]
  readonly rowKeyType: 'uuid' | 'text'
}

/** Where the row after which a page begins stands: org, then row key. */
export type Place = readonly string[]

export interface SealedRow {
  readonly orgId: string
  readonly rowKey: readonly string[]
  readonly sealed: Buffer
}

const SUBSCRIPTIONS = {
  table: 'webhook_subscriptions',
  rowKey: ['id'],
  rowKeyType: 'uuid',
} as const

/** Every column of the database that holds sealed values. */
export const SEALED_COLUMNS: readonly SealedColumn[] = [
  { table: 'org_integrations', column: 'credentials', rowKey: ['id'], rowKeyType: 'uuid' },
  { table: 'org_integrations', column: 'inbound_secrets', rowKey: ['id'], rowKeyType: 'uuid' },
  { table: 'org_integrations', column: 'tool_secrets', rowKey: ['id'], rowKeyType: 'uuid' },
  { table: 'tool_approvals', column: 'call', rowKey: ['id'], rowKeyType: 'uuid' },
  { table: 'tool_approvals', column: 'turn', rowKey: ['id'], rowKeyType: 'uuid' },
  { table: 'inbound_events', column: 'payload', rowKey: ['id'], rowKeyType: 'uuid' },
  { ...SUBSCRIPTIONS, column: 'secrets' },
  { ...SUBSCRIPTIONS, column: 'sealed_url' },
  { ...SUBSCRIPTIONS, column: 'headers' },
  {
    table: 'idempotency_keys',
    column: 'answer',
    rowKey: ['principal_id', 'key'],
    rowKeyType: 'text',
  },
]

const keyIdOf = (column: string) => `substring(${column} from 2 for 16)`

/** Values that are not sealed under the newest data key of their org, page by page along the key. */
function outdatedText({ table, column, rowKey, rowKeyType }: SealedColumn): string {
  const place = rowKey.map((_, i) => `$${i + 3}::${rowKeyType}`)
  return `
select t.org_id as "orgId", array[${rowKey.map((key) => `t.${key}::text`).join(', ')}] as "rowKey", t.${column} as sealed
from patchbay.${table} as t
where (t.org_id, ${rowKey.map((key) => `t.${key}`).join(', ')}) > ($2, ${place.join(', ')})
  and octet_length(t.${column}) > 0
  and ${keyIdOf(`t.${column}`)} is distinct from (
    select uuid_send(k.id) from patchbay.data_keys as k
    where k.org_id = t.org_id
    order by k.created_at desc, k.id desc
    limit 1
  )
order by t.org_id, ${rowKey.map((key) => `t.${key}`).join(', ')}
limit $1`
}

/** Neither revision nor time of change moves: what the value says is the same. */
function replaceText({ table, column, rowKey, rowKeyType }: SealedColumn): string {
  const isRow = rowKey.map((key, i) => `${key} = $${i + 4}::${rowKeyType}`)
  return `
update patchbay.${table} set ${column} = $3
where org_id = $1 and ${column} = $2 and ${isRow.join(' and ')}`
}

const STATEMENTS = new Map(
  SEALED_COLUMNS.map((column) => [
    column,
    { outdated: outdatedText(column), replace: replaceText(column) },
  ]),
)

const DELETE_UNUSED = `
delete from patchbay.data_keys as k
where exists (
  select from patchbay.data_keys as newer
  where newer.org_id = k.org_id and (newer.created_at, newer.id) > (k.created_at, k.id)
    and newer.created_at <= now() - make_interval(secs => $1)
)
${SEALED_COLUMNS.map(
  ({ table, column }) => `and not exists (
  select from patchbay.${table} as t where t.org_id = k.org_id and ${keyIdOf(`t.${column}`)} = uuid_send(k.id)
)`,
).join('\n')}`

const COUNT_SUPERSEDED = `
select count(*)::int as count from patchbay.data_keys as k
where exists (
  select from patchbay.data_keys as newer
  where newer.org_id = k.org_id and (newer.created_at, newer.id) > (k.created_at, k.id)
)`

const ORGS = 'select distinct org_id as "orgId" from patchbay.data_keys order by org_id'

function statementsOf(column: SealedColumn) {
  const statements = STATEMENTS.get(column)
  if (statements === undefined) throw new Error(`${column.table}.${column.column} is not sealed`)
  return statements
}

/** What a rotation of the data keys reads and writes. */
export function makeResealStore(db: Queryable) {
  return {
    columns: SEALED_COLUMNS,
    listOrgs: async (): Promise<string[]> =>
      (await db.query<{ orgId: string }>({ text: ORGS })).rows.map(({ orgId }) => orgId),

    /** Before all: `startOf(column)`. */
    listOutdated: async (column: SealedColumn, after: Place, limit: number): Promise<SealedRow[]> =>
      (
        await db.query<SealedRow & Record<string, unknown>>({
          text: statementsOf(column).outdated,
          values: [limit, ...after],
        })
      ).rows,

    /** Changes the value if it still is what was read. Says whether it did. */
    replace: async (column: SealedColumn, row: SealedRow, sealed: Buffer): Promise<boolean> => {
      const values = [row.orgId, row.sealed, sealed, ...row.rowKey]
      return (await db.query({ text: statementsOf(column).replace, values })).rowCount === 1
    },

    /** Deletes data keys that have had a successor for so long, and that nothing is sealed under. */
    deleteUnused: async (graceS: number): Promise<number> =>
      (await db.query({ text: DELETE_UNUSED, values: [graceS] })).rowCount ?? 0,

    /** Data keys that have a successor. */
    countSuperseded: async (): Promise<number> =>
      (await db.query<{ count: number }>({ text: COUNT_SUPERSEDED })).rows[0]?.count ?? 0,
  }
}

export function startOf({ rowKey, rowKeyType }: SealedColumn): Place {
  const first = rowKeyType === 'uuid' ? '00000000-0000-0000-0000-000000000000' : ''
  return ['', ...rowKey.map(() => first)]
}
