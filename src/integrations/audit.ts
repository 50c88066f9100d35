import type { AuditEntry } from '../core/actor.ts'
import type { DbTx } from '../db/pool.ts'

/** Writes down who changed what, in the transaction that changes it. */
export type WriteAudit = (entry: AuditEntry, tx: DbTx) => Promise<void>
