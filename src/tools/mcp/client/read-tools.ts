import { setImmediate as turnOfOthers } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { sql } from 'drizzle-orm'
import type { Actor, AuditEntry } from '../../../core/actor.ts'
import { mcpConfig } from '../../../core/mcp-config.ts'
import {
  formatToolsProblem,
  isToolsProblemShown,
  parseToolsProblem,
} from '../../../core/tools-problem.ts'
import type { DbTx } from '../../../db/pool.ts'
import type { InOrg } from '../../../db/tenants.ts'
import type { Log } from '../../../telemetry/log.ts'
import type { JsonSchema } from '../../args.ts'
import type { BuiltinTool } from '../../builtins.ts'
import type { ToolHost } from '../../definitions.ts'
import { cleanText } from './clean-text.ts'
import type { McpToolList, makeMcpClient } from './client.ts'
import { fitTool, type OfferedTool, prefixOf, type SkippedTool } from './fit-tool.ts'
import { type McpFailure, mcpError } from './mcp-failure.ts'
import { type KnownTool, planTools, type ToolsPlan } from './plan-tools.ts'
import {
  failReading,
  keepReading,
  knownTools,
  leaveReading,
  otherTools,
  type TakenReading,
  takeReading,
  writePlan,
} from './reading-rows.ts'

const MAX_TOOLS_OF_SERVER = 250
const SCHEMA_BYTES_PER_TOOL = 8192
const MIN_FRESH_S = 60
const MAX_FRESH_S = 86_400
const DEFAULT_FRESH_S = 300
const MAX_AGAIN_S = 3600
/** An integration may be changed while it is read. */
const MAX_TURNS = 3
/** An empty list is believed when it is the last of so many readings that gave nothing. */
const DOUBTS = 2
const MAX_SKIPPED = 100
const MAX_NAMED = 50
const MAX_REASON = 600

export interface ToolsReading {
  /** Of the server, as many as there are now. */
  readonly tools: number
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
  readonly skipped: readonly SkippedTool[]
}

export type ReadingOutcome =
  | { readonly kind: 'read'; readonly reading: ToolsReading }
  | { readonly kind: 'failed'; readonly failure: McpFailure }
  /** Another process reads it, it is fresh, or there is nothing to read. */
  | { readonly kind: 'left' }

export interface AttentionEvent {
  readonly orgId: string
  readonly type: 'integration.needs_attention'
  readonly data: Record<string, unknown>
}

export interface ReadToolsDeps {
  readonly inOrg: InOrg
  readonly loadHost: (orgId: string, integrationId: string) => Promise<ToolHost | null>
  readonly listTools: ReturnType<typeof makeMcpClient>['listTools']
  readonly compile: (schema: JsonSchema) => unknown
  readonly builtins: readonly BuiltinTool[]
  /** Of one org. */
  readonly maxTools: number
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
  readonly emit: (tx: DbTx, event: AttentionEvent) => Promise<string>
  readonly log: Log
}

/** Who reads where nobody asked for it. */
const BY_ITSELF: Actor = { principalId: 'app', address: null, requestId: null }

interface Asked {
  readonly orgId: string
  readonly integrationId: string
  readonly by: Actor
}

/**
 * Reads the tools of an MCP integration's server into the org's tools: those that came, that say something else than before,
 * and that are gone. No transaction is open while the server is asked. Where it fails, what is there stays.
 */
export function makeReadTools(deps: ReadToolsDeps) {
  const { inOrg } = deps

  return async function readTools(
    orgId: string,
    integrationId: string,
    { isForced = false, by = BY_ITSELF }: { isForced?: boolean; by?: Actor } = {},
  ): Promise<ReadingOutcome> {
    const asked = { orgId, integrationId, by }
    for (let turn = 1; turn <= MAX_TURNS; turn += 1) {
      const taken = await inOrg(orgId, (_, client) =>
        takeReading(client, orgId, integrationId, isForced),
      )
      if (taken === null) break
      const outcome = await use(asked, taken)
      if (outcome !== 'lost') return outcome
      await inOrg(orgId, (_, client) => leaveReading(client, orgId, integrationId, taken))
    }
    return { kind: 'left' }
  }

  async function use(asked: Asked, taken: TakenReading): Promise<ReadingOutcome | 'lost'> {
    const { orgId, integrationId } = asked
    const startedAt = performance.now()
    const host = await deps.loadHost(orgId, integrationId)
    if (host === null) return 'lost'
    const listed = await deps.listTools(orgId, host)
    if (!listed.ok) return fail(asked, taken, listed.failure)
    const known = await inOrg(orgId, (tx) => knownTools(tx, orgId, integrationId))
    const looked = await lookAt(listed.value.tools, known)
    const live = known.filter((row) => !row.source.isGone).length
    const failures = parseToolsProblem(taken.problem)?.failures ?? 0
    if (looked.offered.length === 0 && live > 0 && failures < DOUBTS) {
      const reason = `the server lists no tools that could be used, where it had ${live}: it is believed when it says so three times in a row`
      return fail(asked, taken, mcpError(reason))
    }
    const freshS = freshSeconds(listed.value)
    const plan = await inOrg(orgId, async (tx, client) => {
      const isKept = await keepReading(client, orgId, integrationId, taken, freshS)
      return isKept ? write(tx, asked, taken, host, looked.offered) : null
    })
    if (plan === null) return 'lost'
    const reading = toReading(plan, looked.skipped)
    deps.log.info(
      {
        ...{ org_id: orgId, integration_id: integrationId, tools: reading.tools },
        ...{ added: plan.added.length, changed: plan.changed.length },
        ...{ removed: plan.removed.length, skipped: reading.skipped.length },
        duration_ms: Math.round(performance.now() - startedAt),
      },
      'tools.read',
    )
    return { kind: 'read', reading }
  }

  /** Every tool by itself; one after the other, so that others have their turn between two schemas. */
  async function lookAt(listed: readonly unknown[], known: readonly KnownTool[]) {
    const compile = compileUnknown(known)
    const keys = new Set(known.map((row) => row.key))
    const sorted = listed.toSorted((a, b) => rank(a, keys) - rank(b, keys))
    const offered = new Map<string, OfferedTool>()
    const skipped: SkippedTool[] = []
    for (const [at, given] of sorted.entries()) {
      if (at === MAX_TOOLS_OF_SERVER) break
      const fit = fitTool(given, compile)
      if ('skipped' in fit) skipped.push(fit.skipped)
      else if (offered.has(fit.tool.key)) {
        skipped.push({ name: fit.tool.key, reason: 'it is listed twice' })
      } else offered.set(fit.tool.key, fit.tool)
      await turnOfOthers()
    }
    const more = sorted.length - MAX_TOOLS_OF_SERVER
    if (more > 0) {
      const reason = `the server lists ${sorted.length} tools; the first ${MAX_TOOLS_OF_SERVER} are looked at`
      skipped.push({ name: `${more} more`, reason })
    }
    return { offered: [...offered.values()], skipped }
  }

  /** A schema that is here already was compiled when it came. */
  function compileUnknown(known: readonly KnownTool[]) {
    return (schema: JsonSchema) =>
      known.some(
        ({ source }) =>
          isDeepStrictEqual(source.argsSchema, schema) ||
          isDeepStrictEqual(source.outputSchema, schema),
      )
        ? null
        : deps.compile(schema)
  }

  async function write(
    tx: DbTx,
    { orgId, integrationId, by }: Asked,
    taken: TakenReading,
    host: ToolHost,
    offered: readonly OfferedTool[],
  ): Promise<ToolsPlan> {
    // As where a tool is defined by hand: one at a time in an org gives names, and counts.
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`tools/${orgId}`}, 0))`)
    const known = await knownTools(tx, orgId, integrationId)
    const others = await otherTools(tx, orgId, integrationId)
    const config = mcpConfig.parse(host.config)
    const bytes = others.reduce((sum, tool) => sum + tool.bytes, 0)
    const plan = planTools({
      known,
      offered,
      others: [...deps.builtins, ...others],
      // The integration's name may change; what its tools are called does not change with it.
      prefix: config.prefix ?? known[0]?.source.prefix ?? prefixOf(taken.name),
      approval: config.approval ?? 'ask',
      room: {
        tools: Math.max(0, Math.min(MAX_TOOLS_OF_SERVER, deps.maxTools - others.length)),
        bytes: deps.maxTools * SCHEMA_BYTES_PER_TOOL - bytes,
      },
    })
    await writePlan(tx, orgId, integrationId, plan)
    for (const { id, name, approval, isRedefined } of plan.changed) {
      if (!isRedefined) continue
      const detail = { integrationId, name, approval }
      await deps.audit({ orgId, by, action: 'tool.changed_at_source', target: id, detail }, tx)
    }
    const isSame = plan.added.length + plan.changed.length + plan.removed.length === 0
    if (!isSame) {
      const detail = {
        added: namesOf(plan.added),
        changed: namesOf(plan.changed),
        removed: namesOf(plan.removed),
      }
      await deps.audit({ orgId, by, action: 'tools.read', target: integrationId, detail }, tx)
    }
    return plan
  }

  async function fail(
    { orgId, integrationId }: Asked,
    taken: TakenReading,
    failure: McpFailure,
  ): Promise<ReadingOutcome | 'lost'> {
    const before = parseToolsProblem(taken.problem)
    const now = {
      failures: (before?.failures ?? 0) + 1,
      reason: cleanText(failure.reason, MAX_REASON),
    }
    const againS = Math.min(MAX_AGAIN_S, MIN_FRESH_S * 2 ** Math.min(10, now.failures - 1))
    const isNews =
      isToolsProblemShown(now, taken.wasRead) &&
      (before === null || !isToolsProblemShown(before, taken.wasRead))
    const isKept = await inOrg(orgId, async (tx, client) => {
      const problem = formatToolsProblem(now)
      const end = { problem, againS }
      if (!(await failReading(client, orgId, integrationId, taken, end))) return false
      if (isNews) {
        const detail = `The tools of its MCP server could not be read: ${now.reason}`
        const data = { integrationId, providerKey: 'mcp', detail }
        await deps.emit(tx, { orgId, type: 'integration.needs_attention', data })
      }
      return true
    })
    if (!isKept) return 'lost'
    deps.log.info(
      {
        ...{ org_id: orgId, integration_id: integrationId, failures: now.failures },
        reason: now.reason,
      },
      'tools.not_read',
    )
    return { kind: 'failed', failure }
  }
}

function freshSeconds({ ttlMs }: McpToolList): number {
  // Nothing, and 0: what servers say whose author did not think of it.
  if (ttlMs === null || !(ttlMs > 0)) return DEFAULT_FRESH_S
  return Math.min(MAX_FRESH_S, Math.max(MIN_FRESH_S, Math.round(ttlMs / 1000)))
}

/** Those that are here go first: what comes after them does not drive them out. */
function rank(given: unknown, keys: ReadonlySet<string>): number {
  const isKnown =
    typeof given === 'object' &&
    given !== null &&
    'name' in given &&
    typeof given.name === 'string' &&
    keys.has(given.name)
  return isKnown ? 0 : 1
}

function toReading(plan: ToolsPlan, before: readonly SkippedTool[]): ToolsReading {
  const all = [...before, ...plan.skipped]
  const left = all.length - MAX_SKIPPED
  const more = { name: `${left} more`, reason: 'not shown' }
  return {
    tools: plan.tools,
    added: plan.added.map(({ name }) => name),
    changed: plan.changed.map(({ name }) => name),
    removed: plan.removed.map(({ name }) => name),
    skipped: left > 0 ? [...all.slice(0, MAX_SKIPPED), more] : all,
  }
}

function namesOf(tools: readonly { readonly name: string }[]): string[] {
  const names = tools.map(({ name }) => name)
  const left = names.length - MAX_NAMED
  return left > 0 ? [...names.slice(0, MAX_NAMED), `${left} more`] : names
}
