import { createHash } from 'node:crypto'
import { and, eq, ne, sql } from 'drizzle-orm'
import { AppError } from '../core/error.ts'
import { wireNameOf } from '../core/tool-name.ts'
import type { DbTx } from '../db/pool.ts'
import { externalToolDefinitions as tools } from '../db/tool-tables.ts'

export interface NamedTool {
  readonly name: string
  readonly wireName: string
}

/**
 * The names that an org's own tools have. From here to the end of the transaction nobody else gives one: two names that map
 * to one wire name are told apart, and tools are counted as they are.
 *
 * @param id of the tool that is renamed, whose own do not count; or null
 */
export async function takeNames(tx: DbTx, orgId: string, id: string | null): Promise<NamedTool[]> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`tools/${orgId}`}, 0))`)
  return tx
    .select({ name: tools.name, wireName: tools.wireName })
    .from(tools)
    .where(and(eq(tools.orgId, orgId), id === null ? undefined : ne(tools.id, id)))
}

/** The names of some tools, and of those that get theirs here. */
export function makeWireNames(others: readonly NamedTool[]) {
  const names = new Set(others.map(({ name }) => name.toLowerCase()))
  const wireNames = new Set(others.map(({ wireName }) => wireName))
  const isTaken = (wire: string) => wireNames.has(wire)

  /**
   * A wire name that none of the others has; from here on it is this one's.
   *
   * @throws AppError `CONFLICT` where the name itself is taken
   */
  return function giveWireName(name: string): string {
    const digest = createHash('sha256').update(name).digest('hex')
    const wireName = wireNameOf(name, digest, isTaken)
    // A wire name that is taken in spite of its mark was made to collide.
    if (names.has(name.toLowerCase()) || isTaken(wireName)) {
      throw new AppError('CONFLICT', `There is a tool named ${name} already.`)
    }
    names.add(name.toLowerCase())
    wireNames.add(wireName)
    return wireName
  }
}
