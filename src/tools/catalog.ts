import { and, asc, eq, isNull } from 'drizzle-orm'
import { TOOL_NAME } from '../core/tool-name.ts'
import { externalToolDefinitions, orgIntegrations } from '../db/schema.ts'
import type { InOrg, ReadInOrg } from '../db/tenants.ts'
import type { JsonSchema } from './args.ts'
import type { BuiltinTool } from './builtins.ts'
import { type HttpConfig, httpConfigSchema } from './http-config.ts'
import type { ToolRateLimit } from './rate-limit.ts'

/** A tool as a model or a person sees it. */
export interface CatalogTool {
  readonly name: string
  readonly wireName: string
  readonly description: string
  readonly argsSchema: JsonSchema
  readonly source: 'builtin' | 'external'
  readonly integrationId: string | null
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
      readonly httpConfig: HttpConfig
      readonly rateLimit: ToolRateLimit | null
    }

interface CatalogDeps {
  readonly inOrg: InOrg
  readonly readInOrg: ReadInOrg
  readonly builtins: readonly BuiltinTool[]
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

/** What could be meant by a name: one row or two. */
const NAMED = `
select
  t.id, t.name, t.wire_name as "wireName", t.integration_id as "integrationId",
  t.args_schema as "argsSchema", t.http_config as "httpConfig", t.rate_limit as "rateLimit"
from patchbay.external_tool_definitions as t
join patchbay.org_integrations as i on i.org_id = t.org_id and i.id = t.integration_id
where t.org_id = $1 and (t.wire_name = $2 or lower(t.name) = $3)
  and t.is_enabled and i.is_enabled and i.deleted_at is null`

type NamedRow = Pick<
  typeof externalToolDefinitions.$inferSelect,
  'id' | 'name' | 'wireName' | 'integrationId' | 'argsSchema' | 'httpConfig' | 'rateLimit'
>

/** What an org's assistant may call: the built-in tools and those of its enabled integrations, always in the same order. */
export function makeCatalog({ inOrg, readInOrg, builtins }: CatalogDeps) {
  const externalOf = (orgId: string) =>
    inOrg(orgId, (tx) =>
      tx
        .select({ tool: externalToolDefinitions })
        .from(externalToolDefinitions)
        .innerJoin(orgIntegrations, ofItsIntegration)
        .where(isListed(orgId))
        .orderBy(asc(externalToolDefinitions.name)),
    )

  return {
    /** Of all tools; without their schemas, which may be large. */
    async names(orgId: string): Promise<string[]> {
      const { name } = externalToolDefinitions
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select({ name })
          .from(externalToolDefinitions)
          .innerJoin(orgIntegrations, ofItsIntegration)
          .where(isListed(orgId)),
      )
      return [...builtins, ...rows].map((tool) => tool.name)
    },

    async list(orgId: string): Promise<CatalogTool[]> {
      const own = builtins.map(
        ({ name, wireName, description, argsSchema }): CatalogTool => ({
          name,
          wireName,
          description,
          argsSchema,
          source: 'builtin',
          integrationId: null,
        }),
      )
      const external = (await externalOf(orgId)).map(
        ({ tool }): CatalogTool => ({
          name: tool.name,
          wireName: tool.wireName,
          description: tool.description,
          argsSchema: tool.argsSchema,
          source: 'external',
          integrationId: tool.integrationId,
        }),
      )
      return [...own, ...external].sort((a, b) => (a.name < b.name ? -1 : 1))
    },

    /**
     * By name or wire name; null where the org has no such tool that is enabled. One tool's name may be another's wire name
     * (`a_b` beside `a.b`): the name as it is written goes first, then the wire name, then a name that differs in case.
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
      const { id, integrationId, argsSchema, httpConfig, rateLimit, name } = best.candidate.tool
      return {
        kind: 'external',
        id,
        name,
        argsSchema,
        integrationId,
        httpConfig: httpConfigSchema.parse(httpConfig),
        rateLimit,
      }
    },
  }
}

const NO_MATCH = 3

function rankOf(tool: { readonly name: string; readonly wireName: string }, wanted: string) {
  if (tool.name === wanted) return 0
  if (tool.wireName === wanted) return 1
  return tool.name.toLowerCase() === wanted.toLowerCase() ? 2 : NO_MATCH
}
