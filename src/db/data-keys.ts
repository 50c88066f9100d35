import { desc, eq } from 'drizzle-orm'
import type { Db } from './pool.ts'
import { dataKeys } from './schema.ts'

interface WrappedKey {
  readonly id: string
  readonly wrapped: Buffer
  readonly masterKeyId: string
}

/** Wrapped data keys in the database. Two processes that make an org's first key at once leave two, which is harmless. */
export function makeDataKeyStore(db: Db) {
  return {
    list: (orgId: string): Promise<WrappedKey[]> =>
      db
        .select({
          id: dataKeys.id,
          wrapped: dataKeys.wrapped,
          masterKeyId: dataKeys.masterKeyId,
        })
        .from(dataKeys)
        .where(eq(dataKeys.orgId, orgId))
        .orderBy(desc(dataKeys.createdAt), desc(dataKeys.id)),
    add: async (orgId: string, key: WrappedKey): Promise<void> => {
      await db.insert(dataKeys).values({ orgId, ...key })
    },
  }
}
