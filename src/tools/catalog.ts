import { and, asc, eq, isNull } from 'drizzle-orm'
import type { Db } from '../db/pool.ts'
import { externalToolDefinitions, orgIntegrations } from '../db/schema.ts'
import type { JsonSchema } from './args.ts'
import type { BuiltinTool } from './builtins.ts'
import { type HttpConfig, httpConfigSchema } from './http-config.ts'

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
    }

interface CatalogDeps {
  readonly db: Db
  readonly builtins: readonly BuiltinTool[]
}

/** What an org's assistant may call: the built-in tools and those of its enabled integrations, always in the same order. */
export function makeCatalog({ db, builtins }: CatalogDeps) {
  const externalOf = (orgId: string) =>
    db
      .select({ tool: externalToolDefinitions })
      .from(externalToolDefinitions)
      .innerJoin(orgIntegrations, eq(orgIntegrations.id, externalToolDefinitions.integrationId))
      .where(
        and(
          eq(externalToolDefinitions.orgId, orgId),
          eq(externalToolDefinitions.isEnabled, true),
          eq(orgIntegrations.isEnabled, true),
          isNull(orgIntegrations.deletedAt),
        ),
      )
      .orderBy(asc(externalToolDefinitions.name))

  return {
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

    /** By name, without regard to case, or by wire name; null where the org has no such tool that is enabled. */
    async find(orgId: string, name: string): Promise<RunnableTool | null> {
      const isNamed = (tool: { name: string; wireName: string }) =>
        tool.wireName === name || tool.name.toLowerCase() === name.toLowerCase()
      const builtin = builtins.find(isNamed)
      if (builtin !== undefined) return { kind: 'builtin', tool: builtin }
      const found = (await externalOf(orgId)).find(({ tool }) => isNamed(tool))
      if (found === undefined) return null
      const { id, integrationId, argsSchema, httpConfig, name: canonical } = found.tool
      return {
        kind: 'external',
        id,
        name: canonical,
        argsSchema,
        integrationId,
        httpConfig: httpConfigSchema.parse(httpConfig),
      }
    },
  }
}
