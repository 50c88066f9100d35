import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { and, eq, sql } from 'drizzle-orm'
import { AppError } from '../core/error.ts'
import { idempotencyKeys } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import { type Keyring, toRowId } from '../security/keyring.ts'
import type { Log } from '../telemetry/log.ts'

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
  /** It is this request's turn; its end is to be told with the same `holder`. */
  | { readonly kind: 'new'; readonly holder: string }
  | { readonly kind: 'replay'; readonly answer: StoredAnswer }

/** A request that has not said for so long that it is running is not: its process was killed, or has lost the database. */
const GONE_AFTER_S = 10
/** How often one that runs should say so. */
export const ALIVE_EVERY_MS = 3000
/** How long what came of a request is tried to be written; the database may be restarting. */
const PERSIST_MS = 60_000
const MAX_WAIT_MS = 2000

interface IdempotencyDeps {
  readonly inOrg: InOrg
  readonly keyring: Keyring
  readonly newId: () => string
  readonly log: Log
}

/**
 * The ledger of idempotent requests: one row from the first request on, its answer for 24 hours. Answers are sealed, because
 * some carry a secret that is shown once.
 *
 *   running (alive_at moves) ─▶ answered ─▶ forgotten after a day
 *        └─▶ gone (alive_at stands still): the next request with the key takes it over
 *
 * Only who holds the row writes it: an answer that comes after a take-over changes nothing.
 */
export function makeIdempotency({ inOrg, keyring, newId, log }: IdempotencyDeps) {
  const heldBy = (request: KeyedRequest, holder: string) =>
    and(rowOf(request), eq(idempotencyKeys.holder, holder))

  const rowOf = (request: KeyedRequest) =>
    and(
      eq(idempotencyKeys.orgId, request.orgId),
      eq(idempotencyKeys.principalId, request.principalId),
      eq(idempotencyKeys.key, request.key),
    )

  /** Tries for a minute, then says so and gives up: nobody waits for this any more. */
  async function persistently(write: () => Promise<unknown>): Promise<void> {
    const startedAt = performance.now()
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, MAX_WAIT_MS)) {
      try {
        await write()
        return
      } catch (error) {
        if (performance.now() - startedAt > PERSIST_MS) {
          log.warn({ err: error }, 'request.not_stored')
          return
        }
        await sleep(waitMs)
      }
    }
  }

  const sealContext = (request: KeyedRequest) => ({
    orgId: request.orgId,
    table: 'idempotency_keys',
    column: 'answer',
    rowId: toRowId([request.principalId, request.key]),
  })

  return {
    /**
     * Takes the key, or hands back what its first request was answered. A row older than a day is taken over, and so is one
     * whose request is gone.
     *
     * @throws AppError `UNPROCESSABLE` when the key was used for another request, `CONFLICT` while the first one runs,
     *   `UNAVAILABLE` where the answer could not be sealed: nothing runs whose answer would be lost
     */
    async begin(request: KeyedRequest): Promise<Begun> {
      await keyring.prepare(request.orgId)
      const requestHash = createHash('sha256').update(request.fingerprint).digest()
      const holder = newId()
      const taken = await inOrg(request.orgId, (tx) =>
        tx
          .insert(idempotencyKeys)
          .values({
            orgId: request.orgId,
            principalId: request.principalId,
            key: request.key,
            requestHash,
            holder,
          })
          .onConflictDoUpdate({
            target: [idempotencyKeys.orgId, idempotencyKeys.principalId, idempotencyKeys.key],
            set: {
              requestHash,
              holder,
              status: null,
              answer: null,
              createdAt: sql`now()`,
              aliveAt: sql`now()`,
            },
            setWhere: sql`${idempotencyKeys.createdAt} < now() - interval '24 hours'
            or (${idempotencyKeys.status} is null and ${idempotencyKeys.aliveAt} < now() - make_interval(secs => ${GONE_AFTER_S}))`,
          })
          .returning({ key: idempotencyKeys.key }),
      )
      if (taken.length > 0) return { kind: 'new', holder }

      const [first] = await inOrg(request.orgId, (tx) =>
        tx.select().from(idempotencyKeys).where(rowOf(request)),
      )
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

    /** Says that the request is running. */
    async keepAlive(request: KeyedRequest, holder: string): Promise<void> {
      await inOrg(request.orgId, (tx) =>
        tx.update(idempotencyKeys).set({ aliveAt: sql`now()` }).where(heldBy(request, holder)),
      )
    },

    async finish(
      request: KeyedRequest,
      holder: string,
      { status, ...answer }: StoredAnswer,
    ): Promise<void> {
      await persistently(async () => {
        const sealed = await keyring.seal(sealContext(request), JSON.stringify(answer))
        await inOrg(request.orgId, (tx) =>
          tx.update(idempotencyKeys).set({ status, answer: sealed }).where(heldBy(request, holder)),
        )
      })
    },

    /** Forgets a request that had no effect, so that it may be sent again, corrected. */
    async release(request: KeyedRequest, holder: string): Promise<void> {
      await persistently(() =>
        inOrg(request.orgId, (tx) => tx.delete(idempotencyKeys).where(heldBy(request, holder))),
      )
    },
  }
}
