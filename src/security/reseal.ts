import { type Keyring, toRowId } from './keyring.ts'
import { KeyringError } from './keyring-error.ts'

const BATCH = 100

export interface SealedColumn {
  readonly table: string
  readonly column: string
}

export interface SealedRow {
  readonly orgId: string
  /** `toRowId` makes of them the row id that the value is sealed for. */
  readonly rowKey: readonly string[]
  readonly sealed: Buffer
}

export interface ResealDeps<Column extends SealedColumn> {
  readonly keyring: Keyring
  readonly columns: readonly Column[]
  readonly startOf: (column: Column) => readonly string[]
  /** Values that are not sealed under the newest data key of their org. */
  readonly listOutdated: (
    column: Column,
    after: readonly string[],
    limit: number,
  ) => Promise<readonly SealedRow[]>
  /** Changes the value if it still is what was read. Says whether it did. */
  readonly replace: (column: Column, row: SealedRow, sealed: Buffer) => Promise<boolean>
  readonly onProgress: (resealed: number) => void
  readonly signal: AbortSignal
}

export interface Resealed {
  readonly resealed: number
  /** What did not open, `table.column org/row`. Its old data key stays. */
  readonly broken: readonly string[]
}

/**
 * Seals every value under the newest data key of its org, while processes read and write. It may be killed at any point and
 * started again. A value that somebody changes meanwhile is theirs: they sealed it by the newest key.
 */
export async function resealValues<Column extends SealedColumn>(
  deps: ResealDeps<Column>,
): Promise<Resealed> {
  const broken = new Set<string>()
  let resealed = 0

  const resealOne = async (column: Column, row: SealedRow): Promise<void> => {
    const rowId = toRowId(row.rowKey)
    const context = { orgId: row.orgId, table: column.table, column: column.column, rowId }
    try {
      const text = await deps.keyring.open(context, row.sealed)
      if (await deps.replace(column, row, await deps.keyring.seal(context, text))) resealed += 1
    } catch (error) {
      if (!(error instanceof KeyringError)) throw error
      broken.add(`${column.table}.${column.column} ${row.orgId}/${rowId}`)
    }
  }

  for (const column of deps.columns) {
    let rows: readonly SealedRow[] = []
    let after = deps.startOf(column)
    do {
      deps.signal.throwIfAborted()
      rows = await deps.listOutdated(column, after, BATCH)
      for (const row of rows) await resealOne(column, row)
      const last = rows.at(-1)
      if (last !== undefined) after = [last.orgId, ...last.rowKey]
      deps.onProgress(resealed)
    } while (rows.length === BATCH)
  }
  return { resealed, broken: [...broken] }
}
