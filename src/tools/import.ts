import { and, eq, isNotNull, sql } from 'drizzle-orm'
import type { Actor, AuditEntry } from '../core/actor.ts'
import { AppError, invalidField, notFound } from '../core/error.ts'
import type { DbTx } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import { externalToolDefinitions as tools } from '../db/tool-tables.ts'
import type { BuiltinTool } from './builtins.ts'
import { assertTakesTools, type ToolHost, type UrlJudge } from './definitions.ts'
import {
  ARGUMENT,
  assertHttpConfig,
  describeHttpConfig,
  FILLING,
  parseHttpConfig,
} from './http-config.ts'
import { diffPlan, type Step, type StoredTool } from './openapi/diff-plan.ts'
import type { PlanInThread } from './openapi/plan-in-thread.ts'
import type { ToolPlan } from './openapi/plan-tools.ts'
import { makeWireNames, takeNames } from './tool-names.ts'
import { countTools, roomProblem, storedSizes } from './tool-room.ts'

export interface ImportInput {
  /** The document, or its text in JSON or YAML. */
  readonly openapi: unknown
  readonly baseUrl?: string | undefined
  /** Keys (`GET /pets`) or ids of the only operations that are meant. */
  readonly operations?: readonly string[] | undefined
  /** Says what would be done, and does nothing. */
  readonly dryRun?: boolean | undefined
}

interface ToolImportDeps {
  readonly inOrg: InOrg
  readonly builtins: readonly BuiltinTool[]
  readonly loadHost: (orgId: string, integrationId: string) => Promise<ToolHost | null>
  readonly urlJudge: UrlJudge
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
  readonly planInThread: PlanInThread
  /** Runs the work when few enough documents of the org, and of all, are read at once. */
  readonly limited: <Result>(orgId: string, work: () => Promise<Result>) => Promise<Result>
  /** Of one org. */
  readonly maxTools: number
}

type Add = Extract<Step, { kind: 'add' }> & { readonly wireName: string }
type Change = Extract<Step, { kind: 'change' }>
type Decided = Exclude<Step, { kind: 'add' }> | Add

/**
 * Makes tools of the operations of an OpenAPI document, and brings those that it made before up to a newer one. A tool keeps its
 * id, its names and whatever a person has changed about it. What is gone from the document is disabled, not deleted.
 *
 * All in one transaction; the same document again changes nothing.
 */
export function makeToolImport(deps: ToolImportDeps) {
  async function plan(orgId: string, integrationId: string, host: ToolHost, input: ImportInput) {
    const { baseUrl = null } = input
    const judge = await deps.urlJudge(orgId, host.network)
    if (baseUrl !== null) assertBaseUrl(baseUrl, judge)
    const made = await deps.limited(orgId, () =>
      deps.planInThread(input.openapi, {
        baseUrl,
        credentials: Object.keys(host.credentials),
        integrationPath: `/orgs/${orgId}/integrations/${integrationId}`,
      }),
    )
    if (made.kind === 'refused') throw invalidField('openapi', made.message)
    return { made, judge }
  }

  return async function importTools(
    orgId: string,
    integrationId: string,
    input: ImportInput,
    by: Actor,
  ) {
    const host = await deps.loadHost(orgId, integrationId)
    if (host === null) throw notFound('integration')
    assertTakesTools(host)
    const { made, judge } = await plan(orgId, integrationId, host, input)
    const judgeMerged = (step: Step): Step => {
      if (step.kind !== 'change' || !step.merged.kept.includes('httpConfig')) return step
      const reason = problemOf(() => assertMerged(step, host, judge))
      if (reason === null) return step
      const { operation } = step
      return {
        kind: 'skip',
        operation,
        reason: `stays as it is: changed as you have it, ${reason}`,
      }
    }
    return deps.inOrg(orgId, async (tx) => {
      const named = [...deps.builtins, ...(await takeNames(tx, orgId, null))]
      const names = new Set(named.map(({ name }) => name.toLowerCase()))
      const steps = diffPlan({
        plan: made,
        stored: await readStored(tx, orgId, integrationId),
        picked: input.operations ?? null,
        isHostGiven: input.baseUrl !== undefined,
        urlProblem: ({ httpConfig }) =>
          judge(httpConfig.url.replaceAll(FILLING, 'x').replaceAll(ARGUMENT, 'x')),
        isNameTaken: (name) => names.has(name.toLowerCase()),
      })
      const wired = giveWireNames(steps.map(judgeMerged), named)
      const decided = await withinRoom(tx, orgId, wired, deps.maxTools)
      const isDryRun = input.dryRun === true
      const ids = isDryRun
        ? new Map<string, string>()
        : await apply(tx, decided, { orgId, integrationId, by })
      return reportOf(made, decided, ids, isDryRun)
    })
  }

  async function apply(
    tx: DbTx,
    steps: readonly Decided[],
    { orgId, integrationId, by }: { orgId: string; integrationId: string; by: Actor },
  ): Promise<Map<string, string>> {
    const ids = new Map<string, string>()
    const audit = (action: string, target: string, detail: Record<string, unknown>) =>
      deps.audit({ orgId, by, action, target, detail }, tx)
    for (const step of steps) {
      if (step.kind === 'add') {
        const { operation, wireName, tool, source } = step
        const id = await insertTool(tx, {
          ...tool,
          orgId,
          integrationId,
          wireName,
          sourceKey: operation,
          source,
        })
        ids.set(operation, id)
        const calls = describeHttpConfig(tool.httpConfig)
        await audit('tool.created', id, {
          integrationId,
          name: tool.name,
          wireName,
          operation,
          calls,
        })
      } else if (step.kind === 'change') {
        const { stored, merged, source, operation } = step
        await updateTool(tx, orgId, stored.id, { ...merged.tool, source })
        const { isEnabled, httpConfig } = merged.tool
        const calls = describeHttpConfig(httpConfig)
        await audit('tool.updated', stored.id, {
          operation,
          changed: merged.changed,
          isEnabled,
          calls,
        })
      } else if (step.kind === 'remove') {
        const { stored, source, operation } = step
        await updateTool(tx, orgId, stored.id, { isEnabled: false, source })
        await audit('tool.updated', stored.id, {
          operation,
          changed: ['isEnabled'],
          isEnabled: false,
        })
      }
    }
    return ids
  }
}
export type ImportTools = ReturnType<typeof makeToolImport>

/** @throws AppError for a call of which what a person changed no longer fits what the document says */
function assertMerged({ merged }: Change, host: ToolHost, judge: (url: string) => string | null) {
  const known = { credentials: Object.keys(host.credentials), config: Object.keys(host.config) }
  assertHttpConfig(merged.tool.httpConfig, known, judge)
}

function assertBaseUrl(baseUrl: string, judge: (url: string) => string | null): void {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null
  if (url === null || !/^https?:$/.test(url.protocol) || /[?#{}]/.test(baseUrl)) {
    throw invalidField(
      'baseUrl',
      'must be an http or https URL without a query, a fragment or placeholders',
    )
  }
  const problem = judge(baseUrl)
  if (problem !== null) throw invalidField('baseUrl', problem)
}

function problemOf(check: () => void): string | null {
  try {
    check()
    return null
  } catch (error) {
    if (error instanceof AppError) return error.message
    throw error
  }
}

async function readStored(tx: DbTx, orgId: string, integrationId: string): Promise<StoredTool[]> {
  const rows = await tx
    .select()
    .from(tools)
    .where(
      and(
        eq(tools.orgId, orgId),
        eq(tools.integrationId, integrationId),
        isNotNull(tools.sourceKey),
      ),
    )
    .orderBy(tools.id)
  return rows.flatMap(({ sourceKey, ...row }) =>
    sourceKey === null ? [] : [{ ...row, sourceKey, httpConfig: parseHttpConfig(row.httpConfig) }],
  )
}

async function insertTool(tx: DbTx, values: typeof tools.$inferInsert): Promise<string> {
  const [row] = await tx.insert(tools).values(values).returning({ id: tools.id })
  if (row === undefined) throw new Error('insert returned no row')
  return row.id
}

async function updateTool(
  tx: DbTx,
  orgId: string,
  id: string,
  values: Partial<typeof tools.$inferInsert>,
): Promise<void> {
  await tx
    .update(tools)
    .set({ ...values, updatedAt: sql`now()` })
    .where(and(eq(tools.orgId, orgId), eq(tools.id, id)))
}

function giveWireNames(
  steps: readonly Step[],
  named: readonly { readonly name: string; readonly wireName: string }[],
): Decided[] {
  const giveWireName = makeWireNames(named)
  return steps.map((step): Decided => {
    if (step.kind !== 'add') return step
    const { name } = step.tool
    try {
      return { ...step, wireName: giveWireName(name) }
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      return { kind: 'skip', operation: step.operation, reason: error.message }
    }
  })
}

/** What there is no room for is skipped, the first ones go first. */
async function withinRoom(
  tx: DbTx,
  orgId: string,
  steps: readonly Decided[],
  maxTools: number,
): Promise<Decided[]> {
  const growth = steps.map((step) => {
    if (step.kind === 'add') return { count: 1, before: {}, after: schemasOf(step.tool) }
    if (step.kind !== 'change') return null
    return { count: 0, before: schemasOf(step.stored), after: schemasOf(step.merged.tool) }
  })
  const schemas = growth.flatMap((one) => (one === null ? [] : [one.before, one.after]))
  const sizes = (await storedSizes(tx, schemas)).values()
  let used = await countTools(tx, orgId)
  return steps.map((step, at): Decided => {
    const grown = growth[at]
    if (grown === null || grown === undefined) return step
    const [before = 0, after = 0] = [sizes.next().value, sizes.next().value]
    const bytes = after - (grown.count === 0 ? before : 0)
    const next = { count: used.count + grown.count, bytes: used.bytes + bytes }
    const problem = grown.count === 0 && bytes <= 0 ? null : roomProblem(next, maxTools)
    if (problem !== null) return { kind: 'skip', operation: step.operation, reason: problem }
    used = next
    return step
  })
}

function schemasOf({ argsSchema, outputSchema }: Pick<StoredTool, 'argsSchema' | 'outputSchema'>) {
  return outputSchema === null ? argsSchema : { argsSchema, outputSchema }
}

function reportOf(
  { title, version, hash, credentials }: ToolPlan,
  steps: readonly Decided[],
  ids: ReadonlyMap<string, string>,
  isDryRun: boolean,
) {
  const of = <Kind extends Decided['kind']>(kind: Kind) =>
    steps.filter((step): step is Extract<Decided, { kind: Kind }> => step.kind === kind)
  const ours = ({ operation, stored }: { operation: string; stored: StoredTool }) => ({
    operation,
    toolId: stored.id,
    name: stored.name,
  })
  return {
    isDryRun,
    document: { title, version, hash },
    imported: of('add').map(({ operation, operationId, tool, wireName, warnings }) => ({
      operation,
      operationId,
      toolId: ids.get(operation) ?? null,
      name: tool.name,
      wireName,
      url: tool.httpConfig.url,
      isEnabled: tool.isEnabled,
      approval: tool.approval,
      warnings: [...warnings],
    })),
    changed: of('change').map((step) => ({
      ...ours(step),
      url: step.merged.tool.httpConfig.url,
      isEnabled: step.merged.tool.isEnabled,
      approval: step.merged.tool.approval,
      fields: [...step.merged.changed],
      kept: [...step.merged.kept],
      warnings: [...step.warnings],
    })),
    unchanged: of('keep').map(ours),
    removed: of('remove').map(ours),
    skipped: of('skip').map(({ operation, reason }) => ({ operation, reason })),
    credentials: [...credentials],
  }
}
