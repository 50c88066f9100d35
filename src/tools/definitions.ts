import { and, asc, eq, sql } from 'drizzle-orm'
import type { Actor, AuditEntry } from '../core/actor.ts'
import { AppError, invalidField, notFound } from '../core/error.ts'
import { TOOL_NAME } from '../core/tool-name.ts'
import type { DbTx } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import { externalToolDefinitions } from '../db/tool-tables.ts'
import type { JsonSchema, makeArgsValidator } from './args.ts'
import type { BuiltinTool } from './builtins.ts'
import {
  assertHttpConfig,
  describeHttpConfig,
  type HttpConfig,
  parseHttpConfig,
} from './http-config.ts'
import type { ToolRateLimit } from './rate-limit.ts'
import { assertSafeSchema, schemaProblem } from './schema-rules.ts'
import { isStorable } from './storable.ts'
import { makeWireNames, takeNames } from './tool-names.ts'
import { countTools, roomProblem } from './tool-room.ts'

const MAX_DESCRIPTION_LENGTH = 1024

/** A tool of an org, backed by an HTTP endpoint. */
export interface ExternalTool {
  readonly id: string
  readonly orgId: string
  readonly integrationId: string
  readonly name: string
  readonly wireName: string
  readonly description: string
  readonly argsSchema: JsonSchema
  readonly outputSchema: JsonSchema | null
  /** null: a tool of an MCP server, called by its name there (`sourceKey`). */
  readonly httpConfig: HttpConfig | null
  readonly rateLimit: ToolRateLimit | null
  readonly isEnabled: boolean
  readonly approval: 'auto' | 'ask'
  /** What it is in the document or the server that it was read from; null: it was written here. */
  readonly sourceKey: string | null
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
  readonly approval?: 'auto' | 'ask' | undefined
  readonly outputSchema?: JsonSchema | null | undefined
}

export type ToolChange = { [Key in keyof ToolInput]?: ToolInput[Key] | undefined }

/** What tools need of the integration they belong to. */
export interface ToolHost {
  readonly id: string
  /** Left out: of no consequence. */
  readonly providerKey?: string | undefined
  readonly isEnabled: boolean
  readonly supportsTools: boolean
  readonly network: 'public' | 'internal'
  readonly config: Readonly<Record<string, unknown>>
  readonly credentials: Readonly<Record<string, string>>
  /** What its calls are signed with, newest first; none: it is of before they were. */
  readonly signingSecrets: readonly string[]
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
    const { outputSchema = null } = input
    const problem = outputSchema === null ? null : schemaProblem(outputSchema, deps.compile)
    if (problem !== null) throw invalidField('outputSchema', problem)
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

  /** @throws AppError `CONFLICT` where the name itself is taken */
  async function nameFor(tx: DbTx, orgId: string, name: string, id: string | null) {
    return makeWireNames([...builtins, ...(await takeNames(tx, orgId, id))])(name)
  }

  async function assertRoom(tx: DbTx, orgId: string): Promise<void> {
    const problem = roomProblem(await countTools(tx, orgId), deps.maxTools)
    if (problem !== null) throw new AppError('UNPROCESSABLE', problem)
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
      assertTakesTools(host)
      await check(orgId, host, input)
      return inOrg(orgId, async (tx) => {
        const wireName = await nameFor(tx, orgId, input.name, null)
        const { name, httpConfig } = input
        const [row] = await tx
          .insert(tools)
          .values({ ...input, orgId, integrationId, wireName })
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
      if (isOfServer(host) && change.httpConfig !== undefined) {
        throw invalidField('httpConfig', 'a tool of an MCP server is called there, by its name')
      }
      await check(orgId, host, change)
      const isRenamed = change.name !== undefined && change.name !== before.name
      return inOrg(orgId, async (tx) => {
        const wire =
          isRenamed && change.name !== undefined
            ? { wireName: await nameFor(tx, orgId, change.name, id) }
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
        if (change.argsSchema !== undefined || change.outputSchema !== undefined) {
          await assertRoom(tx, orgId)
        }
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

/** @throws AppError `UNPROCESSABLE` where nobody may add tools to an integration */
export function assertTakesTools(host: Pick<ToolHost, 'supportsTools' | 'providerKey'>): void {
  if (!host.supportsTools) {
    throw new AppError('UNPROCESSABLE', 'Tools cannot be defined on this kind of integration.')
  }
  if (isOfServer(host)) throw new AppError('UNPROCESSABLE', NOT_BY_HAND)
}

const NOT_BY_HAND =
  'The tools of an MCP server are read from it: POST …/tools/refresh reads them now. For tools of your own, or of an OpenAPI document, make an integration of generic-webhook.'

function isOfServer({ providerKey }: Pick<ToolHost, 'providerKey'>): boolean {
  return providerKey === 'mcp'
}

/** Where its calls go and what goes with them, before and after, where that differs. */
function callsChange(before: Row, after: Row) {
  const [from, to] = [before, after].map((row) => describeCalls(row))
  return JSON.stringify(from) === JSON.stringify(to) ? {} : { calls: { from, to } }
}

function describeCalls({ httpConfig, sourceKey }: Row) {
  const config = parseHttpConfig(httpConfig)
  return config === null ? { mcpTool: sourceKey } : describeHttpConfig(config)
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
    outputSchema: row.outputSchema,
    httpConfig: parseHttpConfig(row.httpConfig),
    rateLimit: row.rateLimit,
    isEnabled: row.isEnabled,
    approval: row.approval,
    sourceKey: row.sourceKey,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}
