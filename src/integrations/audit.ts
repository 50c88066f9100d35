import type { DbTx } from '../db/pool.ts'

/** Writes down who changed what, in the transaction that changes it. */
export type WriteAudit = (
  entry: {
    readonly orgId: string
    readonly principalId: string
    readonly action: string
    readonly target: string
    readonly detail?: Readonly<Record<string, unknown>>
  },
  tx: DbTx,
) => Promise<void>
