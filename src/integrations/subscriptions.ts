import { and, desc, eq, isNull, lt, sql } from 'drizzle-orm'
import { type Page, toPage } from '../core/cursor.ts'
import { invalidField, notFound } from '../core/error.ts'
import { headersProblem } from '../core/header.ts'
import type { Provider } from '../core/provider.ts'
import { scheduleProblem } from '../core/schedule.ts'
import type { Db } from '../db/pool.ts'
import { webhookSubscriptions } from '../db/schema.ts'
import type { Keyring } from '../security/keyring.ts'
import { newSigningSecret } from '../security/signature.ts'
import { cancelOwed, readHealth, resumeHeld } from './queries.ts'
import {
  isMasked,
  maskHeaders,
  type Subscription,
  sealContext,
  toSubscription,
} from './subscription.ts'

export interface SubscriptionInput {
  readonly url: string
  readonly eventTypes: readonly string[]
  readonly description?: string | null | undefined
  readonly isActive?: boolean | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly maxAgeSeconds?: number | null | undefined
  readonly retrySchedule?: readonly number[] | null | undefined
  readonly content?: 'thin' | 'full' | undefined
}

/** Members that are left out stay as they are. */
export type SubscriptionChange = {
  [Key in keyof SubscriptionInput]?: SubscriptionInput[Key] | undefined
}

interface SubscriptionsDeps {
  readonly db: Db
  readonly keyring: Keyring
  readonly newId: () => string
  /** Throws not found where the org has no such integration. */
  readonly providerOf: (orgId: string, integrationId: string) => Promise<Provider>
  /** Why a URL can never be called, or null. */
  readonly urlProblem: (url: string, network: Provider['network']) => string | null
}

type Row = typeof webhookSubscriptions.$inferSelect

export const DISABLED_BY_HAND = 'Disabled through the API.'

/** The rules of an integration: which events go to which URL. */
export function makeSubscriptions(deps: SubscriptionsDeps) {
  const { db, keyring } = deps

  const ofIntegration = (orgId: string, integrationId: string) =>
    and(
      eq(webhookSubscriptions.orgId, orgId),
      eq(webhookSubscriptions.integrationId, integrationId),
      isNull(webhookSubscriptions.deletedAt),
    )
  const one = (orgId: string, integrationId: string, id: string) =>
    and(ofIntegration(orgId, integrationId), eq(webhookSubscriptions.id, id))

  async function find(orgId: string, integrationId: string, id: string): Promise<Row> {
    const [row] = await db
      .select()
      .from(webhookSubscriptions)
      .where(one(orgId, integrationId, id))
    if (row === undefined) throw notFound('webhook')
    return row
  }

  async function openHeaders(row: Row): Promise<Record<string, string>> {
    if (row.headers === null) return {}
    return JSON.parse(await keyring.open(sealContext(row.orgId, row.id, 'headers'), row.headers))
  }

  async function show(orgId: string, rows: readonly Row[]): Promise<Subscription[]> {
    const ids = rows.map((row) => row.id)
    const health = await db.transaction((tx) => readHealth(tx, orgId, ids))
    return Promise.all(
      rows.map(async (row) =>
        toSubscription(row, maskHeaders(await openHeaders(row)), health.get(row.id)),
      ),
    )
  }

  async function showOne(row: Row): Promise<Subscription> {
    const [shown] = await show(row.orgId, [row])
    if (shown === undefined) throw notFound('webhook')
    return shown
  }

  /** What stands in the `url` columns: the URL, or its mask and the sealed URL where the URL is a secret. */
  async function urlColumns(provider: Provider, orgId: string, id: string, url: string) {
    const problem = deps.urlProblem(url, provider.network)
    if (problem !== null) throw invalidField('url', problem)
    const parsed = new URL(url)
    const providerProblem = provider.urlProblem(parsed)
    if (providerProblem !== null) throw invalidField('url', providerProblem)
    if (provider.maskUrl === null) return { url: parsed.href, sealedUrl: null }
    return {
      url: provider.maskUrl(parsed),
      sealedUrl: await keyring.seal(sealContext(orgId, id, 'sealed_url'), parsed.href),
    }
  }

  async function headerColumns(orgId: string, id: string, headers: Record<string, string>) {
    const problem = headersProblem(headers)
    if (problem !== null) {
      throw invalidField(`headers${problem.name === '' ? '' : `.${problem.name}`}`, problem.message)
    }
    const headerNames = Object.keys(headers)
    if (headerNames.length === 0) return { headers: null, headerNames }
    const text = JSON.stringify(headers)
    return { headers: await keyring.seal(sealContext(orgId, id, 'headers'), text), headerNames }
  }

  return {
    async list(orgId: string, integrationId: string, page: Page) {
      await deps.providerOf(orgId, integrationId)
      const rows = await db
        .select()
        .from(webhookSubscriptions)
        .where(
          and(
            ofIntegration(orgId, integrationId),
            page.after === null ? undefined : lt(webhookSubscriptions.id, page.after),
          ),
        )
        .orderBy(desc(webhookSubscriptions.id))
        .limit(page.limit + 1)
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { webhooks: await show(orgId, shown), nextCursor }
    },

    async get(orgId: string, integrationId: string, id: string): Promise<Subscription> {
      return showOne(await find(orgId, integrationId, id))
    },

    /** The secret is shown here and never again. */
    async create(orgId: string, integrationId: string, input: SubscriptionInput) {
      const provider = await deps.providerOf(orgId, integrationId)
      if (!provider.manifest.supportsWebhooks) {
        throw invalidField('url', `${provider.manifest.name} takes no webhooks`)
      }
      assertSchedule(input.retrySchedule)
      const id = deps.newId()
      const secret = newSigningSecret()
      const secrets = JSON.stringify([{ secret, expiresAt: null }])
      const [row] = await db
        .insert(webhookSubscriptions)
        .values({
          id,
          orgId,
          integrationId,
          ...(await urlColumns(provider, orgId, id, input.url)),
          ...(await headerColumns(orgId, id, { ...input.headers })),
          eventTypes: [...new Set(input.eventTypes)],
          secrets: await keyring.seal(sealContext(orgId, id, 'secrets'), secrets),
          isActive: input.isActive ?? true,
          disabledReason: input.isActive === false ? DISABLED_BY_HAND : null,
          description: input.description ?? null,
          maxAgeSeconds: input.maxAgeSeconds ?? null,
          retrySchedule: input.retrySchedule == null ? null : [...input.retrySchedule],
          content: input.content ?? 'thin',
        })
        .returning()
      if (row === undefined) throw new Error('insert returned no row')
      return { webhook: await showOne(row), secret }
    },

    /** Enabling resumes what was held; members that are left out stay as they are. */
    async update(orgId: string, integrationId: string, id: string, change: SubscriptionChange) {
      const provider = await deps.providerOf(orgId, integrationId)
      const before = await find(orgId, integrationId, id)
      assertSchedule(change.retrySchedule)
      const columns: Partial<typeof webhookSubscriptions.$inferInsert> = {}
      if (change.url !== undefined && change.url !== before.url) {
        Object.assign(columns, await urlColumns(provider, orgId, id, change.url))
      }
      if (change.headers !== undefined) {
        const old = await openHeaders(before)
        // A masked value that comes back unchanged means: keep what is there.
        const merged = Object.fromEntries(
          Object.entries(change.headers).map(([name, value]) => [
            name,
            isMasked(value) ? (old[name] ?? value) : value,
          ]),
        )
        Object.assign(columns, await headerColumns(orgId, id, merged))
      }
      if (change.eventTypes !== undefined) columns.eventTypes = [...new Set(change.eventTypes)]
      if (change.description !== undefined) columns.description = change.description
      if (change.maxAgeSeconds !== undefined) columns.maxAgeSeconds = change.maxAgeSeconds
      if (change.retrySchedule !== undefined) {
        columns.retrySchedule = change.retrySchedule === null ? null : [...change.retrySchedule]
      }
      if (change.content !== undefined) columns.content = change.content
      if (change.isActive !== undefined) {
        columns.isActive = change.isActive
        if (change.isActive !== before.isActive) {
          columns.disabledReason = change.isActive ? null : DISABLED_BY_HAND
        }
      }
      const row = await db.transaction(async (tx) => {
        const [changed] = await tx
          .update(webhookSubscriptions)
          .set({
            ...columns,
            revision: sql`${webhookSubscriptions.revision} + 1`,
            updatedAt: sql`now()`,
          })
          .where(one(orgId, integrationId, id))
          .returning()
        if (changed === undefined) throw notFound('webhook')
        if (change.isActive === true) await resumeHeld(tx, [id])
        return changed
      })
      return showOne(row)
    },

    /** What is owed is canceled; the history keeps the subscription's id and URL. */
    async remove(orgId: string, integrationId: string, id: string): Promise<void> {
      await db.transaction(async (tx) => {
        const gone = await tx
          .update(webhookSubscriptions)
          .set({
            deletedAt: sql`now()`,
            isActive: false,
            secrets: Buffer.alloc(0),
            sealedUrl: null,
            headers: null,
          })
          .where(one(orgId, integrationId, id))
          .returning({ id: webhookSubscriptions.id })
        if (gone.length === 0) throw notFound('webhook')
        await cancelOwed(tx, [id], 'the subscription was deleted')
      })
    },
  }
}

function assertSchedule(schedule: readonly number[] | null | undefined): void {
  if (schedule == null) return
  const problem = scheduleProblem(schedule)
  if (problem !== null) throw invalidField('retrySchedule', problem)
}
