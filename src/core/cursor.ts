import { AppError } from './error.ts'
import { isUuid } from './id.ts'

/** A keyset cursor is the last id of the page before, wrapped so that nobody is tempted to build one. */
export function encodeCursor(lastId: string): string {
  return Buffer.from(lastId).toString('base64url')
}

/** Throws `INVALID_QUERY` for a cursor that no list of ours has given. */
export function decodeCursor(
  cursor: string | undefined,
  isId: (text: string) => boolean = isUuid,
): string | null {
  if (cursor === undefined) return null
  const id = Buffer.from(cursor, 'base64url').toString()
  if (isId(id)) return id
  const message = 'is not a cursor of this list'
  throw new AppError('INVALID_QUERY', `cursor: ${message}`, {
    details: [{ path: 'cursor', message }],
  })
}

export interface Page {
  readonly limit: number
  readonly after: string | null
}

/** Cuts a list that was read one row beyond the limit; that row says whether there is a next page. */
export function toPage<Row>(
  rows: readonly Row[],
  limit: number,
  idOf: (row: Row) => string,
): { rows: Row[]; nextCursor: string | null } {
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  const hasMore = rows.length > limit && last !== undefined
  return { rows: page, nextCursor: hasMore ? encodeCursor(idOf(last)) : null }
}
