import { and, asc, eq, gt, inArray, isNull, sql } from 'drizzle-orm'
import type { z } from 'zod'
import type { Actor } from '../core/actor.ts'
import { type Page, toPage } from '../core/cursor.ts'
import { AppError, invalidField, notFound } from '../core/error.ts'
import type { CallApp, Provider, Verification } from '../core/provider.ts'
import type { DbTx } from '../db/pool.ts'
import { orgIntegrations, webhookSubscriptions } from '../db/schema.ts'
import type { InOrg, SendInOrg } from '../db/tenants.ts'
import { externalToolDefinitions } from '../db/tool-tables.ts'
import type { Keyring } from '../security/keyring.ts'
import type { WriteAudit } from './audit.ts'
import { openCredentials, sealCredentials } from './credentials.ts'
import { type Integration, readRefusals, toIntegration } from './integration.ts'
import {
  firstToolSecret,
  makeRotateOwnSecret,
  newOwnSecret,
  openOwnSecrets,
} from './own-secrets.ts'
import { cancelOwed, HOST, type HostRow, lockLanes } from './queries.ts'

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
  readonly readInOrg: SendInOrg
  readonly keyring: Keyring
  readonly findProvider: (key: string) => Provider | null
  readonly newId: () => string
  readonly audit: WriteAudit
  /** Whether an org may install services of the operator's network. */
  readonly mayInstallInternal: (orgId: string) => boolean
  readonly nowMs: () => number
  /** Calls an app on behalf of an org. */
  readonly callApp: (orgId: string, network: Provider['network']) => Promise<CallApp>
  /** Says of a URL why the org can never call it, or null. */
  readonly urlJudge: (
    orgId: string,
    network: Provider['network'],
  ) => Promise<(url: string) => string | null>
  /** Called after an integration was made, or changed in what its app has to be asked anew about. */
  readonly whenChanged: (orgId: string, integrationId: string, providerKey: string) => void
}

type Row = typeof orgIntegrations.$inferSelect

/** Of credentials that are new, or none: a refresh that is under way finds that it lost its turn, and writes nothing. */
const NO_REFRESH = { tokenExpiresAt: null, refreshingUntil: null } as const
/** Whatever was read of the app, or was wrong then, was of another one. */
const NOT_READ = { toolsFreshUntil: null, toolsProblem: null } as const

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

  /** @throws AppError `INVALID_BODY` for a URL that would be called again and again, and never may be */
  async function assertCallable(
    orgId: string,
    provider: Provider,
    config: Record<string, unknown>,
  ): Promise<void> {
    const called = provider.configUrl(config)
    if (called === null) return
    const judge = await deps.urlJudge(orgId, provider.network)
    const problem = judge(called.url)
    if (problem !== null) throw invalidField(`config.${called.path}`, problem)
  }

  async function show(tx: DbTx, rows: readonly Row[]): Promise<Integration[]> {
    const ids = rows.map((row) => row.id)
    const refusals = await readRefusals(tx, rows[0]?.orgId ?? '', ids)
    return rows.map((row) =>
      toIntegration(row, deps.findProvider(row.providerKey), refusals.get(row.id)),
    )
  }

  async function showOne(tx: DbTx, row: Row): Promise<Integration> {
    const [shown] = await show(tx, [row])
    if (shown === undefined) throw notFound('integration')
    return shown
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

  const rotateSecret = makeRotateOwnSecret({ ...deps, find })

  return {
    /** Oldest first. */
    async list(orgId: string, page: Page) {
      return inOrg(orgId, async (tx) => {
        const rows = await tx
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
          .limit(page.limit + 1)
        const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
        return { integrations: await show(tx, shown), nextCursor }
      })
    },

    async get(orgId: string, id: string): Promise<Integration> {
      const row = await find(orgId, id)
      return inOrg(orgId, (tx) => showOne(tx, row))
    },

    /**
     * What signs with secrets of ours (requests to us, calls of its tools) is shown here and never again. Throws `INVALID_BODY` for an
     * unknown provider, or credentials or config that do not fit its schema.
     */
    async create(orgId: string, input: NewIntegration, by: Actor) {
      const provider = providerOf(input.providerKey)
      assertMayInstall(orgId, provider)
      const id = deps.newId()
      const credentials = parseMember('credentials', provider.credentials, input.credentials ?? {})
      const config = parseMember('config', provider.config, input.config ?? {})
      await assertCallable(orgId, provider, config)
      const sealed = await sealCredentials(keyring, orgId, id, credentials)
      const inbound = isSignedByOurs(provider)
        ? await newOwnSecret(keyring, orgId, id, 'inbound')
        : null
      const tool = hasSignedTools(provider) ? await newOwnSecret(keyring, orgId, id, 'tool') : null
      const created = await inOrg(orgId, async (tx) => {
        const [row] = await tx
          .insert(orgIntegrations)
          .values({
            id,
            orgId,
            providerKey: input.providerKey,
            name: input.name,
            config,
            ...sealed,
            inboundSecrets: inbound?.sealed ?? null,
            toolSecrets: tool?.sealed ?? null,
          })
          .returning()
        if (row === undefined) throw new Error('insert returned no row')
        const detail = { providerKey: input.providerKey, name: input.name }
        await deps.audit({ orgId, by, action: 'integration.created', target: id, detail }, tx)
        return {
          integration: await showOne(tx, row),
          ...(inbound === null ? {} : { inboundSecret: inbound.secret }),
          ...(tool === null ? {} : { toolSecret: tool.secret }),
        }
      })
      deps.whenChanged(orgId, id, input.providerKey)
      return created
    },

    /**
     * Credentials and config are replaced whole; enabling resumes what was held. New credentials connect again what the app
     * had disconnected.
     */
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
              keyring,
              orgId,
              id,
              parseMember('credentials', provider.credentials, change.credentials),
            )
      const config =
        change.config === undefined
          ? undefined
          : parseMember('config', provider.config, change.config)
      if (config !== undefined) await assertCallable(orgId, provider, config)
      const isAnother = isAskedAnew(change)
      const changed = await inOrg(orgId, async (tx) => {
        await lockLanes(tx, await subscriptionsOf(tx, orgId, id))
        const [row] = await tx
          .update(orgIntegrations)
          .set({
            ...sealed,
            ...(config === undefined ? {} : { config }),
            ...(change.name === undefined ? {} : { name: change.name }),
            ...enabling(before, change),
            // How long a token serves that was pasted, the app says when it refuses it.
            ...(change.credentials === undefined ? {} : NO_REFRESH),
            ...(isAnother ? NOT_READ : {}),
            revision: sql`${orgIntegrations.revision} + 1`,
            updatedAt: sql`now()`,
          })
          .where(ofOrg(orgId, id))
          .returning()
        if (row === undefined) throw notFound('integration')
        const { isEnabled } = change
        const detail = { changed: Object.keys(change), isEnabled }
        await deps.audit({ orgId, by, action: 'integration.updated', target: id, detail }, tx)
        return showOne(tx, row)
      })
      if (isAnother) deps.whenChanged(orgId, id, before.providerKey)
      return changed
    },

    /** Its subscriptions and tools go with it, what is owed is canceled, the history stays. */
    async remove(orgId: string, id: string, by: Actor): Promise<void> {
      await inOrg(orgId, async (tx) => {
        const gone = await tx
          .update(orgIntegrations)
          .set({
            deletedAt: sql`now()`,
            isEnabled: false,
            credentials: null,
            credentialFields: [],
            inboundSecrets: null,
            toolSecrets: null,
            ...NO_REFRESH,
          })
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

    /** Tries its credentials against the app. */
    async verify(orgId: string, id: string): Promise<Verification> {
      const row = await find(orgId, id)
      const provider = providerOf(row.providerKey)
      const credentials = await openCredentials(keyring, orgId, id, row.credentials)
      const call = await deps.callApp(orgId, provider.network)
      return provider.verify({ credentials, config: row.config }, call)
    },

    rotateInboundSecret: async (orgId: string, id: string, overlapS: number, by: Actor) => {
      const { providerKey } = await find(orgId, id)
      if (!isSignedByOurs(providerOf(providerKey))) {
        throw new AppError(
          'UNPROCESSABLE',
          'What this app sends is signed with a secret of its own, not with one of ours.',
        )
      }
      return rotateSecret('inbound', orgId, id, overlapS, by)
    },

    /** Of what signs the calls of its tools. */
    rotateToolSecret: async (orgId: string, id: string, overlapS: number, by: Actor) => {
      const { providerKey } = await find(orgId, id)
      if (!hasSignedTools(providerOf(providerKey))) {
        throw new AppError('UNPROCESSABLE', 'No tools that we sign are on this kind of app.')
      }
      return rotateSecret('tool', orgId, id, overlapS, by)
    },

    /** With its credentials opened and its org's list of hosts, for those who act on its behalf; null where it does not exist. */
    async load(orgId: string, id: string) {
      const [row] = await readInOrg<HostRow>(orgId, HOST, [orgId, id])
      const provider = row === undefined ? null : deps.findProvider(row.providerKey)
      if (row === undefined || provider === null) return null
      const toolSecrets =
        row.toolSecrets === null && hasSignedTools(provider)
          ? await firstToolSecret(deps, orgId, id)
          : row.toolSecrets
      const [credentials, signingSecrets] = await Promise.all([
        openCredentials(keyring, orgId, id, row.credentials),
        openOwnSecrets(keyring, orgId, id, 'tool', toolSecrets, deps.nowMs()),
      ])
      return {
        id,
        providerKey: row.providerKey,
        isEnabled: row.isEnabled,
        supportsTools: provider.manifest.supportsExternalTools,
        network: provider.network,
        config: row.config,
        credentials,
        signingSecrets,
        domains: row.domains,
      }
    },
  }
}

/** Whether requests of this app are signed with a secret that we made, and not with one that the app made. */
function isSignedByOurs({ inboundSecret }: Provider): boolean {
  return inboundSecret === 'ours'
}

/** Whether its tools are HTTP requests of ours, which we sign; those of an MCP server are called as its protocol says. */
function hasSignedTools({ manifest }: Provider): boolean {
  return manifest.supportsExternalTools && manifest.key !== 'mcp'
}

function isAskedAnew({ config, credentials, isEnabled }: IntegrationChange): boolean {
  return config !== undefined || credentials !== undefined || isEnabled === true
}

/** By hand it is enabled or disabled; new credentials enable what the app had ended. */
function enabling(before: Row, { isEnabled, credentials }: IntegrationChange) {
  const isMended = credentials !== undefined && before.disconnectedReason !== null
  const next = isEnabled ?? (isMended ? true : undefined)
  return next === undefined ? {} : { isEnabled: next, disconnectedReason: null }
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
