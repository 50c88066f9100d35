import { createHash } from 'node:crypto'
import { and, eq, sql } from 'drizzle-orm'
import { AppError } from '../core/error.ts'
import type { Db } from '../db/pool.ts'
import { idempotencyKeys } from '../db/schema.ts'
import type { Keyring } from '../security/keyring.ts'

/** A request that must happen once. */
export interface KeyedRequest {
  /** '' for requests that belong to no org. */
  readonly orgId: string
  readonly principalId: string
  readonly key: string
  /** What makes it the same request: method, path, query and body. */
  readonly fingerprint: string
}

export interface StoredAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

export type Begun =
  | { readonly kind: 'new' }
  | { readonly kind: 'replay'; readonly answer: StoredAnswer }

/**
 * The ledger of idempotent requests: one row from the first request on, its answer for 24 hours. Answers are sealed, because
 * some carry a secret that is shown once.
 */
export function makeIdempotency({ db, keyring }: { readonly db: Db; readonly keyring: Keyring }) {
  const rowOf = (request: KeyedRequest) =>
    and(
      eq(idempotencyKeys.orgId, request.orgId),
      eq(idempotencyKeys.principalId, request.principalId),
      eq(idempotencyKeys.key, request.key),
    )
  const sealContext = (request: KeyedRequest) => ({
    orgId: request.orgId,
    table: 'idempotency_keys',
    column: 'answer',
    rowId: `${request.principalId}/${request.key}`,
  })

  return {
    /**
     * Takes the key, or hands back what its first request was answered. A row older than a day is taken over, and so is one
     * whose request began ten minutes ago and never ended: its process is gone.
     *
     * @throws AppError `UNPROCESSABLE` when the key was used for another request, `CONFLICT` while the first one runs
     */
    async begin(request: KeyedRequest): Promise<Begun> {
      const requestHash = createHash('sha256').update(request.fingerprint).digest()
      const taken = await db
        .insert(idempotencyKeys)
        .values({
          orgId: request.orgId,
          principalId: request.principalId,
          key: request.key,
          requestHash,
        })
        .onConflictDoUpdate({
          target: [idempotencyKeys.orgId, idempotencyKeys.principalId, idempotencyKeys.key],
          set: { requestHash, status: null, answer: null, createdAt: sql`now()` },
          setWhere: sql`${idempotencyKeys.createdAt} < now() - interval '24 hours'
            or (${idempotencyKeys.status} is null and ${idempotencyKeys.createdAt} < now() - interval '10 minutes')`,
        })
        .returning({ key: idempotencyKeys.key })
      if (taken.length > 0) return { kind: 'new' }

      const [first] = await db.select().from(idempotencyKeys).where(rowOf(request))
      if (first !== undefined && !first.requestHash.equals(requestHash)) {
        throw new AppError('UNPROCESSABLE', 'This Idempotency-Key was used for another request.')
      }
      if (first === undefined || first.status === null || first.answer === null) {
        throw new AppError(
          'CONFLICT',
          'The first request with this Idempotency-Key is still running.',
        )
      }
      const answer = await keyring.open(sealContext(request), first.answer)
      return { kind: 'replay', answer: { status: first.status, ...JSON.parse(answer) } }
    },

    async finish(request: KeyedRequest, { status, ...answer }: StoredAnswer): Promise<void> {
      const sealed = await keyring.seal(sealContext(request), JSON.stringify(answer))
      await db.update(idempotencyKeys).set({ status, answer: sealed }).where(rowOf(request))
    },

    /** Forgets a request that had no effect, so that it may be sent again, corrected. */
    async release(request: KeyedRequest): Promise<void> {
      await db.delete(idempotencyKeys).where(rowOf(request))
    },
  }
}
