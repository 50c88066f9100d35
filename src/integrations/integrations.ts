import { and, asc, eq, gt, inArray, isNull, sql } from 'drizzle-orm'
import type { z } from 'zod'
import type { Actor } from '../core/actor.ts'
import { type Page, toPage } from '../core/cursor.ts'
import { AppError, notFound } from '../core/error.ts'
import type { Provider } from '../core/provider.ts'
import type { DbTx } from '../db/pool.ts'
import { externalToolDefinitions, orgIntegrations, webhookSubscriptions } from '../db/schema.ts'
import type { InOrg, ReadInOrg } from '../db/tenants.ts'
import type { Keyring } from '../security/keyring.ts'
import type { WriteAudit } from './audit.ts'
import { cancelOwed, HOST, type HostRow, lockLanes } from './queries.ts'

export interface Integration {
  readonly id: string
  readonly orgId: string
  readonly provider: { readonly key: string; readonly name: string }
  readonly name: string
  readonly isEnabled: boolean
  readonly config: Record<string, unknown>
  /** Names only: credentials never come back. */
  readonly credentialFields: string[]
  readonly status: 'connected' | 'needs_attention' | 'disconnected'
  readonly statusDetail: string | null
  readonly createdAt: string
  readonly updatedAt: string
}

export interface NewIntegration {
  readonly providerKey: string
  readonly name: string
  readonly credentials?: unknown
  readonly config?: unknown
}

export interface IntegrationChange {
  readonly name?: string | undefined
  readonly isEnabled?: boolean | undefined
  readonly config?: unknown
  readonly credentials?: unknown
}

interface IntegrationsDeps {
  readonly inOrg: InOrg
  readonly readInOrg: ReadInOrg
  readonly keyring: Keyring
  readonly findProvider: (key: string) => Provider | null
  readonly newId: () => string
  readonly audit: WriteAudit
  /** Whether an org may install services of the operator's network. */
  readonly mayInstallInternal: (orgId: string) => boolean
}

type Row = typeof orgIntegrations.$inferSelect

const sealContext = (orgId: string, rowId: string) =>
  ({ orgId, table: 'org_integrations', column: 'credentials', rowId }) as const

/** What an org has installed. Everything is scoped to the org; another org's id does not exist. */
export function makeIntegrations(deps: IntegrationsDeps) {
  const { inOrg, readInOrg, keyring } = deps

  const ofOrg = (orgId: string, id: string) =>
    and(
      eq(orgIntegrations.orgId, orgId),
      eq(orgIntegrations.id, id),
      isNull(orgIntegrations.deletedAt),
    )

  async function find(orgId: string, id: string): Promise<Row> {
    const [row] = await inOrg(orgId, (tx) =>
      tx.select().from(orgIntegrations).where(ofOrg(orgId, id)),
    )
    if (row === undefined) throw notFound('integration')
    return row
  }

  function providerOf(key: string): Provider {
    const provider = deps.findProvider(key)
    if (provider !== null) return provider
    const message = 'is not a provider; see GET /integrations/providers'
    throw new AppError('INVALID_BODY', `providerKey: ${message}`, {
      details: [{ path: 'providerKey', message }],
    })
  }

  function assertMayInstall(orgId: string, provider: Provider): void {
    if (provider.network !== 'internal' || deps.mayInstallInternal(orgId)) return
    throw new AppError('FORBIDDEN', 'This org may not install services of the internal network.')
  }

  function toIntegration(row: Row): Integration {
    const provider = deps.findProvider(row.providerKey)
    return {
      id: row.id,
      orgId: row.orgId,
      provider: { key: row.providerKey, name: provider?.manifest.name ?? row.providerKey },
      name: row.name,
      isEnabled: row.isEnabled,
      config: row.config,
      credentialFields: row.credentialFields,
      status: row.isEnabled ? 'connected' : 'disconnected',
      statusDetail: row.isEnabled ? null : 'Disabled. What is owed is held until it is enabled.',
      createdAt: row.createdAt.toISOString(),
      updatedAt: row.updatedAt.toISOString(),
    }
  }

  async function sealCredentials(orgId: string, id: string, credentials: Record<string, string>) {
    const names = Object.keys(credentials).sort()
    const sealed = await keyring.seal(sealContext(orgId, id), JSON.stringify(credentials))
    return { credentials: names.length === 0 ? null : sealed, credentialFields: names }
  }

  async function subscriptionsOf(tx: DbTx, orgId: string, id: string): Promise<string[]> {
    const rows = await tx
      .select({ id: webhookSubscriptions.id })
      .from(webhookSubscriptions)
      .where(
        and(
          eq(webhookSubscriptions.orgId, orgId),
          eq(webhookSubscriptions.integrationId, id),
          isNull(webhookSubscriptions.deletedAt),
        ),
      )
    return rows.map((row) => row.id)
  }

  return {
    /** Oldest first. */
    async list(orgId: string, page: Page) {
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select()
          .from(orgIntegrations)
          .where(
            and(
              eq(orgIntegrations.orgId, orgId),
              isNull(orgIntegrations.deletedAt),
              page.after === null ? undefined : gt(orgIntegrations.id, page.after),
            ),
          )
          .orderBy(asc(orgIntegrations.id))
          .limit(page.limit + 1),
      )
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { integrations: shown.map(toIntegration), nextCursor }
    },

    async get(orgId: string, id: string): Promise<Integration> {
      return toIntegration(await find(orgId, id))
    },

    /** Throws `INVALID_BODY` for an unknown provider, or credentials or config that do not fit its schema. */
    async create(orgId: string, input: NewIntegration, by: Actor): Promise<Integration> {
      const provider = providerOf(input.providerKey)
      assertMayInstall(orgId, provider)
      const id = deps.newId()
      const credentials = parseMember('credentials', provider.credentials, input.credentials ?? {})
      const config = parseMember('config', provider.config, input.config ?? {})
      const sealed = await sealCredentials(orgId, id, credentials)
      return inOrg(orgId, async (tx) => {
        const [row] = await tx
          .insert(orgIntegrations)
          .values({
            id,
            orgId,
            providerKey: input.providerKey,
            name: input.name,
            config,
            ...sealed,
          })
          .returning()
        if (row === undefined) throw new Error('insert returned no row')
        const detail = { providerKey: input.providerKey, name: input.name }
        await deps.audit({ orgId, by, action: 'integration.created', target: id, detail }, tx)
        return toIntegration(row)
      })
    },

    /** Credentials and config are replaced whole; enabling resumes what was held. */
    async update(
      orgId: string,
      id: string,
      change: IntegrationChange,
      by: Actor,
    ): Promise<Integration> {
      const before = await find(orgId, id)
      const provider = providerOf(before.providerKey)
      if (change.isEnabled === true) assertMayInstall(orgId, provider)
      const sealed =
        change.credentials === undefined
          ? {}
          : await sealCredentials(
              orgId,
              id,
              parseMember('credentials', provider.credentials, change.credentials),
            )
      const config =
        change.config === undefined
          ? {}
          : { config: parseMember('config', provider.config, change.config) }
      return inOrg(orgId, async (tx) => {
        await lockLanes(tx, await subscriptionsOf(tx, orgId, id))
        const [row] = await tx
          .update(orgIntegrations)
          .set({
            ...sealed,
            ...config,
            ...(change.name === undefined ? {} : { name: change.name }),
            ...(change.isEnabled === undefined ? {} : { isEnabled: change.isEnabled }),
            revision: sql`${orgIntegrations.revision} + 1`,
            updatedAt: sql`now()`,
          })
          .where(ofOrg(orgId, id))
          .returning()
        if (row === undefined) throw notFound('integration')
        const { isEnabled } = change
        const detail = { changed: Object.keys(change), isEnabled }
        await deps.audit({ orgId, by, action: 'integration.updated', target: id, detail }, tx)
        return toIntegration(row)
      })
    },

    /** Its subscriptions and tools go with it, what is owed is canceled, the history stays. */
    async remove(orgId: string, id: string, by: Actor): Promise<void> {
      await inOrg(orgId, async (tx) => {
        const gone = await tx
          .update(orgIntegrations)
          .set({ deletedAt: sql`now()`, isEnabled: false, credentials: null, credentialFields: [] })
          .where(ofOrg(orgId, id))
          .returning({ id: orgIntegrations.id })
        if (gone.length === 0) throw notFound('integration')
        await deps.audit({ orgId, by, action: 'integration.deleted', target: id }, tx)
        const subscriptions = await subscriptionsOf(tx, orgId, id)
        if (subscriptions.length > 0) {
          await tx
            .update(webhookSubscriptions)
            .set({
              deletedAt: sql`now()`,
              isActive: false,
              secrets: Buffer.alloc(0),
              sealedUrl: null,
              headers: null,
            })
            .where(inArray(webhookSubscriptions.id, subscriptions))
          await cancelOwed(tx, subscriptions, 'the integration was deleted')
        }
        await tx
          .delete(externalToolDefinitions)
          .where(
            and(
              eq(externalToolDefinitions.orgId, orgId),
              eq(externalToolDefinitions.integrationId, id),
            ),
          )
      })
    },

    /** With its credentials opened and its org's list of hosts, for those who act on its behalf; null where it does not exist. */
    async load(orgId: string, id: string) {
      const [row] = await readInOrg<HostRow>(orgId, HOST, [orgId, id])
      const provider = row === undefined ? null : deps.findProvider(row.providerKey)
      if (row === undefined || provider === null) return null
      const credentials: Record<string, string> =
        row.credentials === null
          ? {}
          : JSON.parse(await keyring.open(sealContext(orgId, id), row.credentials))
      return {
        isEnabled: row.isEnabled,
        supportsTools: provider.manifest.supportsExternalTools,
        network: provider.network,
        config: row.config,
        credentials,
        domains: row.domains,
      }
    },
  }
}

function parseMember<Output>(member: string, schema: z.ZodType<Output>, value: unknown): Output {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const details = parsed.error.issues.map((issue) => ({
    path: [member, ...issue.path.map(String)].join('.'),
    message: issue.message,
  }))
  const [first] = details
  throw new AppError('INVALID_BODY', `${first?.path}: ${first?.message}`, { details })
}
