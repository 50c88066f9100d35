import { and, eq, inArray, isNull, ne, or, sql } from 'drizzle-orm'
import { z } from 'zod'
import type { DbTx, Queryable } from '../../../db/pool.ts'
import { externalToolDefinitions } from '../../../db/tool-tables.ts'
import type { KnownTool, ToolsPlan } from './plan-tools.ts'

/** How long one process has a reading to itself: longer than it can take. */
const LEASE_S = 60

/**
 * One process reads the tools of an integration at a time, by the row. What it writes in the end is fenced by its lease, and
 * by the integration being the one that it asked for.
 */
const TAKE = `
update patchbay.org_integrations as i
set tools_reading_until = now() + interval '${LEASE_S} seconds'
where i.org_id = $1 and i.id = $2 and i.provider_key = 'mcp' and i.is_enabled and i.deleted_at is null
  and (i.tools_reading_until is null or i.tools_reading_until < now())
  and ($3 or i.tools_fresh_until is null or i.tools_fresh_until < now())
returning i.name, i.revision, i.tools_problem as problem, i.tools_read_at is not null as "wasRead",
  i.tools_reading_until::text as until`

export interface TakenReading {
  readonly name: string
  readonly revision: number
  readonly problem: string | null
  readonly wasRead: boolean
  readonly until: string
}

const LOOK = `
select i.is_enabled as "isEnabled", i.provider_key = 'mcp' as "isMcp"
from patchbay.org_integrations as i
where i.org_id = $1 and i.id = $2 and i.deleted_at is null`

const KEEP = `
update patchbay.org_integrations as i
set tools_read_at = now(), tools_problem = null, tools_reading_until = null,
  tools_fresh_until = now() + make_interval(secs => $5)
where i.org_id = $1 and i.id = $2 and i.tools_reading_until = $3::timestamptz and i.revision = $4 and i.deleted_at is null`

const FAIL = `
update patchbay.org_integrations as i
set tools_problem = $5, tools_reading_until = null, tools_fresh_until = now() + make_interval(secs => $6)
where i.org_id = $1 and i.id = $2 and i.tools_reading_until = $3::timestamptz and i.revision = $4 and i.deleted_at is null`

/** What it asked for is not what there is any more: whoever comes next may read at once. */
const LEAVE = `
update patchbay.org_integrations as i
set tools_reading_until = null
where i.org_id = $1 and i.id = $2 and i.tools_reading_until = $3::timestamptz`

/** @param isForced also where the tools are fresh */
export async function takeReading(
  tx: Queryable,
  orgId: string,
  integrationId: string,
  isForced: boolean,
): Promise<TakenReading | null> {
  const values = [orgId, integrationId, isForced]
  const { rows } = await tx.query<TakenReading & Record<string, unknown>>({ text: TAKE, values })
  return rows[0] ?? null
}

export async function lookAtReading(tx: Queryable, orgId: string, integrationId: string) {
  const { rows } = await tx.query<{ isEnabled: boolean; isMcp: boolean }>({
    text: LOOK,
    values: [orgId, integrationId],
  })
  return rows[0] ?? null
}

/** Says whether the reading was still wanted. */
export async function keepReading(
  tx: Queryable,
  orgId: string,
  integrationId: string,
  { until, revision }: TakenReading,
  freshS: number,
): Promise<boolean> {
  const values = [orgId, integrationId, until, revision, freshS]
  return (await tx.query({ text: KEEP, values })).rowCount === 1
}

/** Says whether the reading was still wanted. */
export async function failReading(
  tx: Queryable,
  orgId: string,
  integrationId: string,
  { until, revision }: TakenReading,
  failure: { readonly problem: string; readonly againS: number },
): Promise<boolean> {
  const values = [orgId, integrationId, until, revision, failure.problem, failure.againS]
  return (await tx.query({ text: FAIL, values })).rowCount === 1
}

export async function leaveReading(
  tx: Queryable,
  orgId: string,
  integrationId: string,
  { until }: TakenReading,
): Promise<void> {
  await tx.query({ text: LEAVE, values: [orgId, integrationId, until] })
}

const schema = z.record(z.string(), z.unknown())
const toolSource = z.object({
  name: z.string(),
  prefix: z.string(),
  description: z.string(),
  argsSchema: schema,
  outputSchema: schema.nullable(),
  isGone: z.boolean(),
  wasEnabled: z.boolean(),
})

const tools = externalToolDefinitions

/** The rows that were read from the integration's server, oldest first. */
export async function knownTools(
  tx: DbTx,
  orgId: string,
  integrationId: string,
): Promise<KnownTool[]> {
  const rows = await tx
    .select()
    .from(tools)
    .where(
      and(eq(tools.orgId, orgId), eq(tools.integrationId, integrationId), isNull(tools.httpConfig)),
    )
    .orderBy(tools.id)
  return rows.map((row) => ({
    ...row,
    key: row.sourceKey ?? '',
    source: toolSource.parse(row.source),
  }))
}

/** All others of the org, by name, and the bytes of their schemas. */
export async function otherTools(tx: DbTx, orgId: string, integrationId: string) {
  return tx
    .select({
      name: tools.name,
      wireName: tools.wireName,
      bytes: sql<number>`octet_length(${tools.argsSchema}::text)`,
    })
    .from(tools)
    .where(
      and(
        eq(tools.orgId, orgId),
        or(ne(tools.integrationId, integrationId), sql`${tools.httpConfig} is not null`),
      ),
    )
}

/** Does what was planned. */
export async function writePlan(
  tx: DbTx,
  orgId: string,
  integrationId: string,
  plan: ToolsPlan,
): Promise<void> {
  const dropped = plan.dropped.map((row) => row.id)
  if (dropped.length > 0) {
    await tx.delete(tools).where(and(eq(tools.orgId, orgId), inArray(tools.id, dropped)))
  }
  for (const { id, ...row } of [...plan.changed, ...plan.removed]) {
    const { name, wireName, description, argsSchema, outputSchema, isEnabled, approval } = row
    await tx
      .update(tools)
      .set({
        ...{ name, wireName, description, argsSchema, outputSchema, isEnabled, approval },
        source: { ...row.source },
        updatedAt: sql`now()`,
      })
      .where(and(eq(tools.orgId, orgId), eq(tools.id, id)))
  }
  if (plan.added.length > 0) {
    await tx.insert(tools).values(
      plan.added.map(({ key, source, ...columns }) => ({
        ...columns,
        orgId,
        integrationId,
        httpConfig: null,
        sourceKey: key,
        source: { ...source },
      })),
    )
  }
}
