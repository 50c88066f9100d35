import { randomBytes, timingSafeEqual } from 'node:crypto'
import { and, desc, eq, isNull, lt, or, sql } from 'drizzle-orm'
import type { Actor, AuditEntry } from '../core/actor.ts'
import { type Page, toPage } from '../core/cursor.ts'
import { invalidField, notFound } from '../core/error.ts'
import type { Db, DbTx } from '../db/pool.ts'
import { apiKeys } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Log } from '../telemetry/log.ts'
import { apiKeyHash, newApiKey } from './api-key-text.ts'
import { isPermission, PERMISSIONS, type Permission } from './permissions.ts'
import { keyIdOf, keyPrincipalId } from './principal.ts'
import { unauthenticated, type VerifyToken } from './token.ts'

const HINT_LENGTH = 4

export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly permissions: Permission[]
  /** How the key ends. */
  readonly hint: string
  readonly createdBy: string
  readonly createdAt: string
  readonly expiresAt: string | null
  /** Within a minute. */
  readonly lastUsedAt: string | null
}

export interface NewApiKey {
  readonly name: string
  readonly permissions: readonly Permission[]
  readonly expiresAt?: string | null | undefined
}

interface ApiKeysDeps {
  readonly inOrg: InOrg
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
  readonly nowMs: () => number
}

/** Not the hash, which the API's role may not read. */
const SHOWN = {
  id: apiKeys.id,
  name: apiKeys.name,
  permissions: apiKeys.permissions,
  hint: apiKeys.hint,
  createdBy: apiKeys.createdBy,
  createdAt: apiKeys.createdAt,
  expiresAt: apiKeys.expiresAt,
  lastUsedAt: apiKeys.lastUsedAt,
}

/** The API keys of an org. That their maker has what they grant is for the caller to see to. */
export function makeApiKeys({ inOrg, audit, nowMs }: ApiKeysDeps) {
  return {
    /** Newest first. */
    async list(orgId: string, page: Page) {
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select(SHOWN)
          .from(apiKeys)
          .where(
            and(
              eq(apiKeys.orgId, orgId),
              page.after === null ? undefined : lt(apiKeys.id, page.after),
            ),
          )
          .orderBy(desc(apiKeys.id))
          .limit(page.limit + 1),
      )
      const { rows: keys, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { apiKeys: keys.map(toApiKey), nextCursor }
    },

    /** The key itself is in this answer and nowhere else. */
    async create(orgId: string, input: NewApiKey, by: Actor) {
      const asked = input.expiresAt == null ? null : new Date(input.expiresAt)
      if (asked !== null && asked.getTime() <= nowMs()) {
        throw invalidField('expiresAt', 'must be in the future')
      }
      const key = newApiKey(randomBytes)
      const hash = apiKeyHash(key)
      if (hash === null) throw new Error('a new key is not one')
      const values = {
        orgId,
        name: input.name,
        permissions: PERMISSIONS.filter((name) => input.permissions.includes(name)),
        hash,
        hint: key.slice(-HINT_LENGTH),
        createdBy: by.principalId,
      }
      const madeBy = keyIdOf(by.principalId)
      return inOrg(orgId, async (tx) => {
        if (madeBy !== null) await lockKeys(tx, orgId)
        const expiresAt = madeBy === null ? asked : await endWithin(tx, orgId, madeBy, asked)
        const [row] = await tx
          .insert(apiKeys)
          .values({ ...values, madeBy, expiresAt })
          .returning(SHOWN)
        if (row === undefined) throw new Error('the key was not stored')
        const apiKey = toApiKey(row)
        const { id, name, permissions, hint } = apiKey
        const detail = { name, permissions, hint, expiresAt: apiKey.expiresAt }
        await audit({ orgId, by, action: 'api_key.created', target: id, detail }, tx)
        return { apiKey, key }
      })
    },

    /** From its commit on the key opens nothing, in any process, and no key that it made: nobody keeps one in memory. */
    async revoke(orgId: string, id: string, by: Actor): Promise<void> {
      await inOrg(orgId, async (tx) => {
        await lockKeys(tx, orgId)
        const { rows } = await tx.execute<{ id: string; name: string; hint: string }>(sql`
          with recursive gone as (
            select id, name, hint from patchbay.api_keys where org_id = ${orgId} and id = ${id}
            union
            select made.id, made.name, made.hint
            from gone
            join patchbay.api_keys as made on made.org_id = ${orgId} and made.made_by = gone.id
          )
          select * from gone`)
        if (rows.length === 0) throw notFound('API key')
        // The keys that it made go with it.
        await tx.delete(apiKeys).where(and(eq(apiKeys.orgId, orgId), eq(apiKeys.id, id)))
        for (const { id: target, name, hint } of rows) {
          const detail = target === id ? { name, hint } : { name, hint, with: id }
          await audit({ orgId, by, action: 'api_key.revoked', target, detail }, tx)
        }
      })
    },
  }
}

/** A key is not made by one that is being revoked, and of what is revoked with it none is missed. */
async function lockKeys(tx: DbTx, orgId: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`api_keys/${orgId}`}, 0))`)
}

/** A key ends no later than the key that makes it, or a leaked one would be for ever. */
async function endWithin(
  tx: DbTx,
  orgId: string,
  madeBy: string,
  asked: Date | null,
): Promise<Date | null> {
  const [maker] = await tx
    .select({ expiresAt: apiKeys.expiresAt })
    .from(apiKeys)
    .where(and(eq(apiKeys.orgId, orgId), eq(apiKeys.id, madeBy)))
  if (maker === undefined) throw unauthenticated()
  if (asked !== null && maker.expiresAt !== null && asked > maker.expiresAt) {
    throw invalidField('expiresAt', 'must not be after the end of the key that makes it')
  }
  return asked ?? maker.expiresAt
}

interface VerifyDeps {
  /** The owner's: a key says what its org is, so it is looked up before there is one. */
  readonly db: Db
  readonly log: Pick<Log, 'warn'>
}

const isUseOld = or(
  isNull(apiKeys.lastUsedAt),
  lt(apiKeys.lastUsedAt, sql`now() - interval '1 minute'`),
)

/**
 * Checks an API key and says who is asking: a principal of its one org.
 *
 * @throws AppError `UNAUTHENTICATED` for a key that is malformed, unknown, revoked or over, with the text of any bad token
 */
export function makeVerifyApiKey({ db, log }: VerifyDeps): VerifyToken {
  /** Each in one write at a time, however many requests come with it. */
  const touching = new Set<string>()

  async function touch(orgId: string, id: string): Promise<void> {
    if (touching.has(id)) return
    touching.add(id)
    try {
      await db
        .update(apiKeys)
        .set({ lastUsedAt: sql`now()` })
        .where(and(eq(apiKeys.orgId, orgId), eq(apiKeys.id, id), isUseOld))
    } catch (error) {
      log.warn({ err: error, principal_id: keyPrincipalId(id) }, 'api_key.use_not_recorded')
    } finally {
      touching.delete(id)
    }
  }

  return async (key) => {
    const hash = apiKeyHash(key)
    if (hash === null) throw unauthenticated()
    const [row] = await db
      .select({
        id: apiKeys.id,
        orgId: apiKeys.orgId,
        hash: apiKeys.hash,
        permissions: apiKeys.permissions,
        isUseOld: sql<boolean>`${isUseOld}`,
        isOver: sql<boolean>`coalesce(${apiKeys.expiresAt} <= now(), false)`,
      })
      .from(apiKeys)
      .where(eq(apiKeys.hash, hash))
    if (row === undefined || !timingSafeEqual(row.hash, hash) || row.isOver) throw unauthenticated()
    // Nobody waits for it, and it catches what it throws.
    if (row.isUseOld) void touch(row.orgId, row.id)
    return {
      kind: 'key',
      id: keyPrincipalId(row.id),
      isSuperadmin: false,
      claimed: new Map([[row.orgId, row.permissions.filter(isPermission)]]),
    }
  }
}

interface Row {
  readonly id: string
  readonly name: string
  readonly permissions: readonly string[]
  readonly hint: string
  readonly createdBy: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly lastUsedAt: Date | null
}

function toApiKey(row: Row): ApiKey {
  return {
    ...row,
    permissions: row.permissions.filter(isPermission),
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  }
}
