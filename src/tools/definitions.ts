import { createHash } from 'node:crypto'
import { and, asc, count, eq, ne, sql } from 'drizzle-orm'
import type { Actor, AuditEntry } from '../core/actor.ts'
import { AppError, invalidField, notFound } from '../core/error.ts'
import { TOOL_NAME, wireNameOf } from '../core/tool-name.ts'
import type { DbTx } from '../db/pool.ts'
import { externalToolDefinitions } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { JsonSchema, makeArgsValidator } from './args.ts'
import type { BuiltinTool } from './builtins.ts'
import {
  assertHttpConfig,
  describeHttpConfig,
  type HttpConfig,
  httpConfigSchema,
} from './http-config.ts'
import type { ToolRateLimit } from './rate-limit.ts'
import { assertSafeSchema } from './schema-rules.ts'

const MAX_DESCRIPTION_LENGTH = 1024
const SCHEMA_BYTES_PER_TOOL = 8192

/** A tool of an org, backed by an HTTP endpoint. */
export interface ExternalTool {
  readonly id: string
  readonly orgId: string
  readonly integrationId: string
  readonly name: string
  readonly wireName: string
  readonly description: string
  readonly argsSchema: JsonSchema
  readonly httpConfig: HttpConfig
  readonly rateLimit: ToolRateLimit | null
  readonly isEnabled: boolean
  readonly createdAt: string
  readonly updatedAt: string
}

export interface ToolInput {
  readonly name: string
  readonly description: string
  readonly argsSchema: JsonSchema
  readonly httpConfig: HttpConfig
  readonly rateLimit?: ToolRateLimit | null | undefined
  readonly isEnabled?: boolean | undefined
}

export type ToolChange = { [Key in keyof ToolInput]?: ToolInput[Key] | undefined }

/** What tools need of the integration they belong to. */
export interface ToolHost {
  readonly isEnabled: boolean
  readonly supportsTools: boolean
  readonly network: 'public' | 'internal'
  readonly config: Readonly<Record<string, unknown>>
  readonly credentials: Readonly<Record<string, string>>
  /** The org's own list of hosts; null: it has none. */
  readonly domains: readonly string[] | null
}

export type UrlJudge = (
  orgId: string,
  network: 'public' | 'internal',
) => Promise<(url: string) => string | null>

type Row = typeof externalToolDefinitions.$inferSelect

interface DefinitionsDeps {
  readonly inOrg: InOrg
  readonly builtins: readonly BuiltinTool[]
  readonly compile: ReturnType<typeof makeArgsValidator>['compile']
  readonly loadHost: (orgId: string, integrationId: string) => Promise<ToolHost | null>
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
  /** Of one org. */
  readonly maxTools: number
  /** Says of a URL why the org can never call it, or null. */
  readonly urlJudge: UrlJudge
}

/** The tools that an org defines on an integration. */
export function makeToolDefinitions(deps: DefinitionsDeps) {
  const { inOrg, builtins } = deps
  const tools = externalToolDefinitions

  const ofIntegration = (orgId: string, integrationId: string) =>
    and(eq(tools.orgId, orgId), eq(tools.integrationId, integrationId))

  async function hostOf(orgId: string, integrationId: string): Promise<ToolHost> {
    const host = await deps.loadHost(orgId, integrationId)
    if (host === null) throw notFound('integration')
    return host
  }

  async function find(orgId: string, integrationId: string, id: string) {
    const [row] = await inOrg(orgId, (tx) =>
      tx
        .select()
        .from(tools)
        .where(and(ofIntegration(orgId, integrationId), eq(tools.id, id))),
    )
    if (row === undefined) throw notFound('tool')
    return row
  }

  async function check(orgId: string, host: ToolHost, input: ToolChange): Promise<void> {
    if (input.name !== undefined && !TOOL_NAME.test(input.name)) {
      throw invalidField(
        'name',
        'must start with a letter and have at most 128 letters, digits and _ . -',
      )
    }
    const length = input.description?.length
    if (length !== undefined && (length < 1 || length > MAX_DESCRIPTION_LENGTH)) {
      throw invalidField('description', `must have 1 to ${MAX_DESCRIPTION_LENGTH} characters`)
    }
    if (input.argsSchema !== undefined) assertSafeSchema(input.argsSchema, deps.compile)
    if (input.httpConfig !== undefined) {
      const known = {
        credentials: Object.keys(host.credentials),
        config: Object.keys(host.config),
      }
      assertHttpConfig(input.httpConfig, known, await deps.urlJudge(orgId, host.network))
    }
    for (const [field, value] of Object.entries(input)) {
      if (!isStorable(value)) {
        throw invalidField(field, 'must not have the character U+0000, or half a character')
      }
    }
  }

  /**
   * A wire name that no other tool of the org has, and none that is built in.
   *
   * @param id the tool that is renamed, or null for a new one
   * @throws AppError `CONFLICT` where the name itself is taken
   */
  async function freeWireName(tx: DbTx, orgId: string, name: string, id: string | null) {
    // One at a time in an org, so that two names that map to one wire name are told apart.
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`tools/${orgId}`}, 0))`)
    const rows = await tx
      .select({ name: tools.name, wireName: tools.wireName })
      .from(tools)
      .where(and(eq(tools.orgId, orgId), id === null ? undefined : ne(tools.id, id)))
    const taken = [...builtins, ...rows]
    const isTaken = (wire: string) => taken.some((tool) => tool.wireName === wire)
    const digest = createHash('sha256').update(name).digest('hex')
    const wireName = wireNameOf(name, digest, isTaken)
    // A wire name that is taken in spite of its mark was made to collide.
    const isNameTaken = taken.some((tool) => tool.name.toLowerCase() === name.toLowerCase())
    if (isNameTaken || isTaken(wireName)) {
      throw new AppError('CONFLICT', `There is a tool named ${name} already.`)
    }
    return wireName
  }

  /**
   * The catalog is read whole, for each turn of a chat too: tools and the bytes of their schemas are bounded together. After
   * `freeWireName`, which lets one at a time count.
   */
  async function assertRoom(tx: DbTx, orgId: string): Promise<void> {
    const size = sql<number>`coalesce(sum(octet_length(${tools.argsSchema}::text)), 0)::int`
    const [sum] = await tx
      .select({ count: count(), size })
      .from(tools)
      .where(eq(tools.orgId, orgId))
    const limit = (what: string) =>
      new AppError('UNPROCESSABLE', `The org has ${what}, and may have no more (TOOLS_PER_ORG).`)
    if ((sum?.count ?? 0) > deps.maxTools) throw limit(`${deps.maxTools} tools`)
    const maxBytes = deps.maxTools * SCHEMA_BYTES_PER_TOOL
    if ((sum?.size ?? 0) > maxBytes) throw limit(`schemas of ${maxBytes} bytes`)
  }

  return {
    async list(orgId: string, integrationId: string): Promise<ExternalTool[]> {
      await hostOf(orgId, integrationId)
      const rows = await inOrg(orgId, (tx) =>
        tx.select().from(tools).where(ofIntegration(orgId, integrationId)).orderBy(asc(tools.name)),
      )
      return rows.map(toTool)
    },

    async get(orgId: string, integrationId: string, id: string): Promise<ExternalTool> {
      return toTool(await find(orgId, integrationId, id))
    },

    async create(
      orgId: string,
      integrationId: string,
      input: ToolInput,
      by: Actor,
    ): Promise<ExternalTool> {
      const host = await hostOf(orgId, integrationId)
      if (!host.supportsTools) {
        throw new AppError('UNPROCESSABLE', 'Tools cannot be defined on this kind of integration.')
      }
      await check(orgId, host, input)
      return inOrg(orgId, async (tx) => {
        const wireName = await freeWireName(tx, orgId, input.name, null)
        const { name, description, argsSchema, httpConfig, rateLimit, isEnabled = true } = input
        const [row] = await tx
          .insert(tools)
          .values({
            orgId,
            integrationId,
            name,
            wireName,
            description,
            argsSchema,
            httpConfig,
            rateLimit,
            isEnabled,
          })
          .returning()
        if (row === undefined) throw new Error('insert returned no row')
        await assertRoom(tx, orgId)
        const detail = { integrationId, name, wireName, calls: describeHttpConfig(httpConfig) }
        await deps.audit({ orgId, by, action: 'tool.created', target: row.id, detail }, tx)
        return toTool(row)
      })
    },

    /** A new name gets a new wire name; whatever is left out stays. */
    async update(orgId: string, integrationId: string, id: string, change: ToolChange, by: Actor) {
      const host = await hostOf(orgId, integrationId)
      const before = await find(orgId, integrationId, id)
      await check(orgId, host, change)
      const isRenamed = change.name !== undefined && change.name !== before.name
      return inOrg(orgId, async (tx) => {
        const wire =
          isRenamed && change.name !== undefined
            ? { wireName: await freeWireName(tx, orgId, change.name, id) }
            : {}
        const columns = Object.fromEntries(
          Object.entries(change).filter(([, value]) => value !== undefined),
        )
        const [row] = await tx
          .update(tools)
          .set({ ...columns, ...wire, updatedAt: sql`now()` })
          .where(and(ofIntegration(orgId, integrationId), eq(tools.id, id)))
          .returning()
        if (row === undefined) throw notFound('tool')
        if (change.argsSchema !== undefined) await assertRoom(tx, orgId)
        const { isEnabled } = change
        const changed = Object.keys(columns)
        const detail = { changed, isEnabled, ...callsChange(before, row) }
        await deps.audit({ orgId, by, action: 'tool.updated', target: id, detail }, tx)
        return toTool(row)
      })
    },

    async remove(orgId: string, integrationId: string, id: string, by: Actor): Promise<void> {
      await inOrg(orgId, async (tx) => {
        const [gone] = await tx
          .delete(tools)
          .where(and(ofIntegration(orgId, integrationId), eq(tools.id, id)))
          .returning({ name: tools.name })
        if (gone === undefined) throw notFound('tool')
        await deps.audit({ orgId, by, action: 'tool.deleted', target: id, detail: gone }, tx)
      })
    },
  }
}

/** Where its calls go and what goes with them, before and after, where that differs. */
function callsChange(before: Row, after: Row) {
  const [from, to] = [before, after].map((row) =>
    describeHttpConfig(httpConfigSchema.parse(row.httpConfig)),
  )
  return JSON.stringify(from) === JSON.stringify(to) ? {} : { calls: { from, to } }
}

/** Whether jsonb takes it: no U+0000 and no lone surrogates, which JSON text shows as escapes. */
function isStorable(value: unknown): boolean {
  return !/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(JSON.stringify(value) ?? '')
}

function toTool(row: Row): ExternalTool {
  return {
    id: row.id,
    orgId: row.orgId,
    integrationId: row.integrationId,
    name: row.name,
    wireName: row.wireName,
    description: row.description,
    argsSchema: row.argsSchema,
    httpConfig: httpConfigSchema.parse(row.httpConfig),
    rateLimit: row.rateLimit,
    isEnabled: row.isEnabled,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}
