import { and, desc, eq, gt, isNull, lt, sql } from 'drizzle-orm'
import type { Actor } from '../core/actor.ts'
import { type Page, toPage } from '../core/cursor.ts'
import { AppError, invalidField, notFound } from '../core/error.ts'
import { headersProblem } from '../core/header.ts'
import type { Provider } from '../core/provider.ts'
import { withoutQuery } from '../core/redact.ts'
import { scheduleProblem } from '../core/schedule.ts'
import type { DbTx } from '../db/pool.ts'
import { webhookSubscriptions } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Keyring } from '../security/keyring.ts'
import { newSigningSecret } from '../security/signature.ts'
import type { WriteAudit } from './audit.ts'
import { cancelOwed, lockLanes, readHealth } from './queries.ts'
import { makeRotateSecret } from './rotate-secret.ts'
import {
  assertHeadersForHost,
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
  readonly rateLimit?: { readonly perSecond: number } | null | undefined
  readonly ordering?: 'none' | 'conversation' | undefined
  readonly maxAgeSeconds?: number | null | undefined
  readonly retrySchedule?: readonly number[] | null | undefined
  readonly content?: 'thin' | 'full' | undefined
}

/** Members that are left out stay as they are. */
export type SubscriptionChange = {
  [Key in keyof SubscriptionInput]?: SubscriptionInput[Key] | undefined
}

interface SubscriptionsDeps {
  readonly inOrg: InOrg
  readonly keyring: Keyring
  readonly newId: () => string
  readonly nowMs: () => number
  readonly audit: WriteAudit
  /** Of one org. */
  readonly maxSubscriptions: number
  /** Throws not found where the org has no such integration. */
  readonly providerOf: (orgId: string, integrationId: string) => Promise<Provider>
  /** Says of a URL why the org can never call it, or null. */
  readonly urlJudge: (
    orgId: string,
    network: Provider['network'],
  ) => Promise<(url: string) => string | null>
}

type Row = typeof webhookSubscriptions.$inferSelect

const MAX_LOOKS = 10

export const DISABLED_BY_HAND = 'Disabled through the API.'

/** The rules of an integration: which events go to which URL. */
export function makeSubscriptions(deps: SubscriptionsDeps) {
  const { inOrg, keyring } = deps

  const ofIntegration = (orgId: string, integrationId: string) =>
    and(
      eq(webhookSubscriptions.orgId, orgId),
      eq(webhookSubscriptions.integrationId, integrationId),
      isNull(webhookSubscriptions.deletedAt),
    )
  const one = (orgId: string, integrationId: string, id: string) =>
    and(ofIntegration(orgId, integrationId), eq(webhookSubscriptions.id, id))

  async function find(orgId: string, integrationId: string, id: string): Promise<Row> {
    const [row] = await inOrg(orgId, (tx) =>
      tx
        .select()
        .from(webhookSubscriptions)
        .where(one(orgId, integrationId, id)),
    )
    if (row === undefined) throw notFound('webhook')
    return row
  }

  async function openHeaders(row: Row): Promise<Record<string, string>> {
    if (row.headers === null) return {}
    return JSON.parse(await keyring.open(sealContext(row.orgId, row.id, 'headers'), row.headers))
  }

  async function show(orgId: string, rows: readonly Row[]): Promise<Subscription[]> {
    const ids = rows.map((row) => row.id)
    const health = await inOrg(orgId, (tx) => readHealth(tx, orgId, ids))
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

  async function assertCallable(provider: Provider, orgId: string, url: string): Promise<void> {
    const judge = await deps.urlJudge(orgId, provider.network)
    const problem = judge(url)
    if (problem !== null) throw invalidField('url', problem)
  }

  /** What may have been allowed when it was made. */
  async function assertStillCallable(provider: Provider, row: Row): Promise<void> {
    const url =
      row.sealedUrl === null
        ? row.url
        : await keyring.open(sealContext(row.orgId, row.id, 'sealed_url'), row.sealedUrl)
    await assertCallable(provider, row.orgId, url)
  }

  /** What stands in the `url` columns: the URL, or its mask and the sealed URL where the URL is a secret. */
  async function urlColumns(provider: Provider, orgId: string, id: string, url: string) {
    await assertCallable(provider, orgId, url)
    const parsed = new URL(url)
    const providerProblem = provider.urlProblem(parsed)
    if (providerProblem !== null) throw invalidField('url', providerProblem)
    const mask = provider.maskUrl(parsed)
    if (mask === null) return { url: parsed.href, sealedUrl: null }
    return {
      url: mask,
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

  /** Not counted one at a time: those that are made together may be some more. One for answers alone is owed no event. */
  async function assertRoom(tx: DbTx, orgId: string): Promise<void> {
    const { orgId: ofOrg, deletedAt, eventTypes } = webhookSubscriptions
    const some = await tx
      .select({ id: webhookSubscriptions.id })
      .from(webhookSubscriptions)
      .where(and(eq(ofOrg, orgId), isNull(deletedAt), gt(sql`cardinality(${eventTypes})`, 0)))
      .limit(deps.maxSubscriptions)
    if (some.length < deps.maxSubscriptions) return
    throw new AppError(
      'UNPROCESSABLE',
      `The org has ${deps.maxSubscriptions} webhooks, and may have no more (WEBHOOKS_PER_ORG).`,
    )
  }

  /** @throws AppError `INVALID_BODY` for what must not become of the row as it is */
  async function changedColumns(
    provider: Provider,
    before: Row,
    change: SubscriptionChange,
  ): Promise<Columns> {
    const { orgId, id } = before
    const columns: Columns = { ...plainColumns(change), ...mending(before, change) }
    if (change.url !== undefined && change.url !== before.url) {
      Object.assign(columns, await urlColumns(provider, orgId, id, change.url))
    } else if (change.isActive === true && !before.isActive) {
      await assertStillCallable(provider, before)
    }
    assertHeadersForHost(before, change)
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
    return columns
  }

  return {
    async list(orgId: string, integrationId: string, page: Page) {
      await deps.providerOf(orgId, integrationId)
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select()
          .from(webhookSubscriptions)
          .where(
            and(
              ofIntegration(orgId, integrationId),
              page.after === null ? undefined : lt(webhookSubscriptions.id, page.after),
            ),
          )
          .orderBy(desc(webhookSubscriptions.id))
          .limit(page.limit + 1),
      )
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { webhooks: await show(orgId, shown), nextCursor }
    },

    async get(orgId: string, integrationId: string, id: string): Promise<Subscription> {
      return showOne(await find(orgId, integrationId, id))
    },

    /** The secret is shown here and never again. */
    async create(orgId: string, integrationId: string, input: SubscriptionInput, by: Actor) {
      const provider = await deps.providerOf(orgId, integrationId)
      if (!provider.manifest.supportsWebhooks) {
        throw invalidField('url', `${provider.manifest.name} takes no webhooks`)
      }
      assertSchedule(input.retrySchedule)
      const id = deps.newId()
      const secret = newSigningSecret()
      const secrets = JSON.stringify([{ secret, expiresAt: null }])
      const values = {
        id,
        orgId,
        integrationId,
        ...(await urlColumns(provider, orgId, id, input.url)),
        ...(await headerColumns(orgId, id, { ...input.headers })),
        ...plainColumns({ ...provider.defaults, ...input }),
        eventTypes: [...new Set(input.eventTypes)],
        secrets: await keyring.seal(sealContext(orgId, id, 'secrets'), secrets),
        disabledReason: input.isActive === false ? DISABLED_BY_HAND : null,
      }
      const row = await inOrg(orgId, async (tx) => {
        if (values.eventTypes.length > 0) await assertRoom(tx, orgId)
        const [created] = await tx.insert(webhookSubscriptions).values(values).returning()
        const { url, eventTypes, content = 'thin' } = values
        const detail = { url: withoutQuery(url), eventTypes, content }
        await deps.audit({ orgId, by, action: 'webhook.created', target: id, detail }, tx)
        return created
      })
      if (row === undefined) throw new Error('insert returned no row')
      return { webhook: await showOne(row), secret }
    },

    /**
     * Enabling resumes what was held; members that are left out stay as they are. What was read is looked at again where
     * somebody else changed it meanwhile: whether headers may go to a URL depends on both.
     *
     * @throws AppError `CONFLICT` where others change it again and again
     */
    async update(
      orgId: string,
      integrationId: string,
      id: string,
      change: SubscriptionChange,
      by: Actor,
    ) {
      const provider = await deps.providerOf(orgId, integrationId)
      assertSchedule(change.retrySchedule)
      for (let look = 1; look <= MAX_LOOKS; look += 1) {
        const before = await find(orgId, integrationId, id)
        const columns = await changedColumns(provider, before, change)
        const row = await inOrg(orgId, async (tx) => {
          await lockLanes(tx, [id])
          const { revision } = webhookSubscriptions
          const [changed] = await tx
            .update(webhookSubscriptions)
            .set({
              ...columns,
              ...disabledReason(columns.isActive),
              revision: sql`${revision} + 1`,
              updatedAt: sql`now()`,
            })
            .where(and(one(orgId, integrationId, id), eq(revision, before.revision)))
            .returning()
          if (changed === undefined) return null
          const detail = auditDetail(before, changed, change)
          await deps.audit({ orgId, by, action: 'webhook.updated', target: id, detail }, tx)
          return changed
        })
        if (row !== null) return showOne(row)
      }
      throw new AppError(
        'CONFLICT',
        'The webhook is being changed by others at this moment: try again.',
      )
    },

    rotateSecret: makeRotateSecret({ ...deps, find }),

    /** What is owed is canceled; the history keeps the subscription's id and URL. */
    async remove(orgId: string, integrationId: string, id: string, by: Actor): Promise<void> {
      await inOrg(orgId, async (tx) => {
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
        await deps.audit({ orgId, by, action: 'webhook.deleted', target: id }, tx)
        await cancelOwed(tx, [id], 'the subscription was deleted')
      })
    },
  }
}

type Columns = Partial<typeof webhookSubscriptions.$inferInsert>

/** The members that are stored as they are given. */
function plainColumns(input: SubscriptionChange): Columns {
  const columns: Columns = {}
  if (input.eventTypes !== undefined) columns.eventTypes = [...new Set(input.eventTypes)]
  if (input.isActive !== undefined) columns.isActive = input.isActive
  if (input.description !== undefined) columns.description = input.description
  if (input.rateLimit !== undefined) columns.rateLimit = input.rateLimit?.perSecond ?? null
  if (input.ordering !== undefined) columns.ordering = input.ordering
  if (input.maxAgeSeconds !== undefined) columns.maxAgeSeconds = input.maxAgeSeconds
  if (input.retrySchedule !== undefined) {
    columns.retrySchedule = input.retrySchedule === null ? null : [...input.retrySchedule]
  }
  if (input.content !== undefined) columns.content = input.content
  return columns
}

/** What the app refused is tried again once somebody has mended it: with another URL, or by saying so. */
function mending(before: Row, { url, isActive }: SubscriptionChange): Columns {
  if (!before.needsAttention) return {}
  if (isActive !== undefined) return { needsAttention: false }
  return url === undefined ? {} : { needsAttention: false, isActive: true }
}

/** Whoever disabled it first has said why. */
function disabledReason(isActive: boolean | undefined) {
  if (isActive === undefined) return {}
  const { isActive: wasActive, disabledReason: reason } = webhookSubscriptions
  return {
    disabledReason: isActive
      ? null
      : sql`case when ${wasActive} then ${DISABLED_BY_HAND} else ${reason} end`,
  }
}

/** Which members were sent; and of where it goes and what goes there, what was and is. */
function auditDetail(before: Row, after: Row, change: SubscriptionChange) {
  const from = { url: withoutQuery(before.url), content: before.content }
  const to = { url: withoutQuery(after.url), content: after.content }
  return {
    changed: Object.keys(change),
    isActive: change.isActive,
    ...(from.url === to.url ? {} : { url: { from: from.url, to: to.url } }),
    ...(from.content === to.content ? {} : { content: { from: from.content, to: to.content } }),
  }
}

function assertSchedule(schedule: readonly number[] | null | undefined): void {
  if (schedule == null) return
  const problem = scheduleProblem(schedule)
  if (problem !== null) throw invalidField('retrySchedule', problem)
}
