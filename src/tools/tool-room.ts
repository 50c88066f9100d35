import { count, eq, sql } from 'drizzle-orm'
import type { DbTx } from '../db/pool.ts'
import { externalToolDefinitions as tools } from '../db/tool-tables.ts'

const SCHEMA_BYTES_PER_TOOL = 8192

export interface ToolCount {
  readonly count: number
  /** Of the schemas of their arguments and results. */
  readonly bytes: number
}

/** After `takeNames`, which lets one at a time count. */
export async function countTools(tx: DbTx, orgId: string): Promise<ToolCount> {
  const ofOne = sql`octet_length(${tools.argsSchema}::text) + coalesce(octet_length(${tools.outputSchema}::text), 0)`
  const bytes = sql<number>`coalesce(sum(${ofOne}), 0)::int`
  const [sum] = await tx.select({ count: count(), bytes }).from(tools).where(eq(tools.orgId, orgId))
  return sum ?? { count: 0, bytes: 0 }
}

/**
 * The catalog is read whole, for each turn of a chat too: tools and the bytes of their schemas are bounded together.
 *
 * @returns which bound they exceed, or null
 */
export function roomProblem({ count, bytes }: ToolCount, maxTools: number): string | null {
  const maxBytes = maxTools * SCHEMA_BYTES_PER_TOOL
  const what =
    count > maxTools
      ? `${maxTools} tools`
      : bytes > maxBytes
        ? `schemas of ${maxBytes} bytes`
        : null
  return what === null ? null : `The org has ${what}, and may have no more (TOOLS_PER_ORG).`
}

/** What schemas take up once they are stored. */
export async function storedSizes(tx: DbTx, schemas: readonly unknown[]): Promise<number[]> {
  const { rows } = await tx.execute<{ size: number }>(
    sql`select octet_length(value::text) as size
        from jsonb_array_elements(${JSON.stringify(schemas)}::jsonb) with ordinality as given (value, place)
        order by place`,
  )
  return rows.map(({ size }) => size)
}
