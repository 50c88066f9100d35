import { and, asc, eq, isNull, sql } from 'drizzle-orm'
import { TOOL_NAME } from '../core/tool-name.ts'
import { orgIntegrations } from '../db/schema.ts'
import type { InOrg, SendInOrg } from '../db/tenants.ts'
import { externalToolDefinitions } from '../db/tool-tables.ts'
import type { JsonSchema } from './args.ts'
import { type BuiltinTool, builtinsFor, type May } from './builtins.ts'
import { type HttpConfig, parseHttpConfig } from './http-config.ts'
import type { ToolRateLimit } from './rate-limit.ts'

/** A tool as a model or a person sees it. */
export interface CatalogTool {
  readonly name: string
  readonly wireName: string
  readonly description: string
  readonly argsSchema: JsonSchema
  readonly source: 'builtin' | 'external'
  readonly integrationId: string | null
  /** It is one of another MCP server, and called there. */
  readonly isRemote: boolean
  /** Of what it gives back; null: not known. */
  readonly outputSchema: JsonSchema | null
  /** `ask`: a call waits until a person has approved it. */
  readonly approval: 'auto' | 'ask'
  /** Changes nothing; and running it twice is as running it once. By its method, not by what anybody says of it. */
  readonly isReadOnly: boolean
  readonly isIdempotent: boolean
}

/** A tool that can be run. */
export type RunnableTool =
  | { readonly kind: 'builtin'; readonly tool: BuiltinTool }
  | {
      readonly kind: 'external'
      readonly id: string
      readonly name: string
      readonly argsSchema: JsonSchema
      readonly integrationId: string
      /** null: it is called by `sourceKey` on its integration's MCP server. */
      readonly httpConfig: HttpConfig | null
      readonly sourceKey: string | null
      /** Of its integration: part of what is called. */
      readonly config: Readonly<Record<string, unknown>>
      readonly approval: 'auto' | 'ask'
      readonly outputSchema: JsonSchema | null
      readonly description: string
      readonly rateLimit: ToolRateLimit | null
    }

interface CatalogDeps {
  readonly inOrg: InOrg
  readonly readInOrg: SendInOrg
  readonly builtins: readonly BuiltinTool[]
  /** Called for an integration whose tools are to be read from its server again; nothing waits for that. */
  readonly whenStale: (orgId: string, integrationId: string) => void
}

/** Of a server that is no longer to be believed. */
const isStale = sql<boolean>`${externalToolDefinitions.httpConfig} is null and ${orgIntegrations.toolsFreshUntil} < now()`

/** Without what the document or the server said that it came from, which is large. */
const LISTED = {
  name: externalToolDefinitions.name,
  wireName: externalToolDefinitions.wireName,
  description: externalToolDefinitions.description,
  argsSchema: externalToolDefinitions.argsSchema,
  outputSchema: externalToolDefinitions.outputSchema,
  httpConfig: externalToolDefinitions.httpConfig,
  approval: externalToolDefinitions.approval,
  integrationId: externalToolDefinitions.integrationId,
}

const ofItsIntegration = and(
  eq(orgIntegrations.orgId, externalToolDefinitions.orgId),
  eq(orgIntegrations.id, externalToolDefinitions.integrationId),
)

const isListed = (orgId: string) =>
  and(
    eq(externalToolDefinitions.orgId, orgId),
    eq(externalToolDefinitions.isEnabled, true),
    eq(orgIntegrations.isEnabled, true),
    isNull(orgIntegrations.deletedAt),
  )

/** Of tools that can be run. */
const RUNNABLE = `
select
  t.id, t.name, t.wire_name as "wireName", t.integration_id as "integrationId",
  t.description, t.args_schema as "argsSchema", t.output_schema as "outputSchema", t.http_config as "httpConfig",
  t.source_key as "sourceKey", t.approval, t.rate_limit as "rateLimit", i.config
from patchbay.external_tool_definitions as t
join patchbay.org_integrations as i on i.org_id = t.org_id and i.id = t.integration_id
where t.org_id = $1 and t.is_enabled and i.is_enabled and i.deleted_at is null`

/** What could be meant by a name: one row or two. */
const NAMED = {
  name: 'tool_named',
  text: `${RUNNABLE} and (t.wire_name = $2 or lower(t.name) = $3)`,
}

const BY_ID = { name: 'tool_by_id', text: `${RUNNABLE} and t.id = $2` }

type NamedRow = Pick<typeof orgIntegrations.$inferSelect, 'config'> &
  Pick<
    typeof externalToolDefinitions.$inferSelect,
    | 'id'
    | 'name'
    | 'wireName'
    | 'integrationId'
    | 'description'
    | 'argsSchema'
    | 'outputSchema'
    | 'httpConfig'
    | 'sourceKey'
    | 'approval'
    | 'rateLimit'
  >

/** What an org's assistant may call: the built-in tools and those of its enabled integrations, always in the same order. */
export function makeCatalog({ inOrg, readInOrg, builtins, whenStale }: CatalogDeps) {
  const externalOf = (orgId: string) =>
    inOrg(orgId, (tx) =>
      tx
        .select({ ...LISTED, isStale })
        .from(externalToolDefinitions)
        .innerJoin(orgIntegrations, ofItsIntegration)
        .where(isListed(orgId))
        .orderBy(asc(externalToolDefinitions.name)),
    )

  return {
    /** Of all tools that are there for who asks; without their schemas, which may be large. */
    async names(orgId: string, may: May): Promise<string[]> {
      const { name } = externalToolDefinitions
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select({ name })
          .from(externalToolDefinitions)
          .innerJoin(orgIntegrations, ofItsIntegration)
          .where(isListed(orgId)),
      )
      return [...(await builtinsFor(builtins, may)), ...rows].map((tool) => tool.name)
    },

    /** What is there for who asks. */
    async list(orgId: string, may: May): Promise<CatalogTool[]> {
      const own = (await builtinsFor(builtins, may)).map(
        ({ name, wireName, description, argsSchema }): CatalogTool => ({
          name,
          wireName,
          description,
          argsSchema,
          source: 'builtin',
          integrationId: null,
          isRemote: false,
          outputSchema: null,
          approval: 'auto',
          isReadOnly: true,
          isIdempotent: true,
        }),
      )
      const rows = await externalOf(orgId)
      const stale = rows.filter((row) => row.isStale).map((row) => row.integrationId)
      for (const integrationId of new Set(stale)) whenStale(orgId, integrationId)
      const external = rows.map(
        ({ httpConfig, isStale: _, ...tool }): CatalogTool => ({
          ...tool,
          source: 'external',
          isRemote: httpConfig === null,
          ...natureOf(parseHttpConfig(httpConfig)),
        }),
      )
      return [...own, ...external].sort((a, b) => (a.name < b.name ? -1 : 1))
    },

    /**
     * By name or wire name; null where the org has no such tool that is enabled. One tool's name may be another's wire name
     * (`a_b` beside `a.b`): the wire name goes first, because it is what models are given, then the name as it is written,
     * then one that differs in case.
     */
    async find(orgId: string, wanted: string): Promise<RunnableTool | null> {
      if (!TOOL_NAME.test(wanted)) return null
      const named = [orgId, wanted, wanted.toLowerCase()]
      const external = await readInOrg<NamedRow>(orgId, NAMED, named)
      const [best] = [
        ...builtins.map((tool) => ({ kind: 'builtin' as const, tool })),
        ...external.map((tool) => ({ kind: 'external' as const, tool })),
      ]
        .map((candidate) => ({ candidate, rank: rankOf(candidate.tool, wanted) }))
        .filter(({ rank }) => rank < NO_MATCH)
        .sort((a, b) => a.rank - b.rank)
      if (best === undefined) return null
      if (best.candidate.kind === 'builtin') return best.candidate
      return toRunnable(best.candidate.tool)
    },

    /** null where it is gone or disabled. */
    async findById(orgId: string, id: string) {
      const [row] = await readInOrg<NamedRow>(orgId, BY_ID, [orgId, id])
      return row === undefined ? null : toRunnable(row)
    },
  }
}

const SAFE = new Set(['GET'])
const IDEMPOTENT = new Set(['GET', 'PUT', 'DELETE'])

/** By the rules of HTTP [RFC 9110 §9.2]. What an MCP server says of its tools is a stranger's word: nothing is taken from it. */
function natureOf(config: HttpConfig | null) {
  if (config === null) return { isReadOnly: false, isIdempotent: false }
  return { isReadOnly: SAFE.has(config.method), isIdempotent: IDEMPOTENT.has(config.method) }
}

function toRunnable({ wireName: _, httpConfig, ...tool }: NamedRow) {
  return { kind: 'external' as const, ...tool, httpConfig: parseHttpConfig(httpConfig) }
}

const NO_MATCH = 3

function rankOf(tool: { readonly name: string; readonly wireName: string }, wanted: string) {
  if (tool.wireName === wanted) return 0
  if (tool.name === wanted) return 1
  return tool.name.toLowerCase() === wanted.toLowerCase() ? 2 : NO_MATCH
}
