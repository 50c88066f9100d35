import { isDeepStrictEqual } from 'node:util'
import type { JsonSchema } from '../args.ts'
import { allFillingsOf, type HttpConfig } from '../http-config.ts'
import { type ImportedSource, importedSource } from './imported-source.ts'
import { type MergedTool, mergeTool } from './merge-tool.ts'
import { makeFreeNames } from './operation-name.ts'
import type { OperationVerdict, ToolPlan } from './plan-tools.ts'
import type { PlannedTool } from './planned-tool.ts'
import { originOf } from './server-url.ts'

/** A tool of the integration that came from somewhere. */
export interface StoredTool {
  readonly id: string
  readonly name: string
  readonly sourceKey: string
  readonly source: unknown
  readonly description: string
  readonly argsSchema: JsonSchema
  readonly outputSchema: JsonSchema | null
  readonly httpConfig: HttpConfig | null
  readonly isEnabled: boolean
  readonly approval: 'auto' | 'ask'
}

/** What is to be done for one operation. */
export type Step =
  | {
      readonly kind: 'add'
      readonly operation: string
      readonly operationId: string | null
      readonly tool: PlannedTool
      readonly source: ImportedSource
      readonly warnings: readonly string[]
    }
  | {
      readonly kind: 'change'
      readonly operation: string
      readonly stored: StoredTool
      readonly merged: MergedTool
      readonly source: ImportedSource
      readonly warnings: readonly string[]
    }
  | { readonly kind: 'keep'; readonly operation: string; readonly stored: StoredTool }
  | {
      readonly kind: 'remove'
      readonly operation: string
      readonly stored: StoredTool
      readonly source: ImportedSource
    }
  | { readonly kind: 'skip'; readonly operation: string; readonly reason: string }

interface DiffOptions {
  readonly plan: ToolPlan
  readonly stored: readonly StoredTool[]
  /** Keys or ids of the only operations that are meant; null: all. */
  readonly picked: readonly string[] | null
  /** Whether who imports it has said where its operations are, and not the document alone. */
  readonly isHostGiven: boolean
  /** Why the org may not call a URL, or null. */
  readonly urlProblem: (tool: PlannedTool) => string | null
  /** Whatever the case. */
  readonly isNameTaken: (name: string) => boolean
}

/**
 * What an import does: each operation of the document has one step, in its order; then what was picked in vain, and the tools
 * whose operation is gone. Where operations are picked, nothing but these is touched.
 */
export function diffPlan(options: DiffOptions): Step[] {
  const { plan, stored, picked, urlProblem, isNameTaken } = options
  const byKey = new Map(stored.map((tool) => [tool.sourceKey, tool]))
  const hosts = new Set(stored.flatMap(({ httpConfig }) => credentialsHostOf(httpConfig) ?? []))
  /** Where a document that comes again would have credentials go that were sent elsewhere so far; null: nowhere. */
  const newHostOf = ({ httpConfig }: Pick<PlannedTool, 'httpConfig'>): string | null => {
    const host = credentialsHostOf(httpConfig)
    const isNew = host !== null && hosts.size > 0 && !hosts.has(host)
    return isNew && !options.isHostGiven ? host : null
  }
  const giveName = makeFreeNames(isNameTaken)
  const isPicked = ({ operation, operationId }: OperationVerdict) =>
    picked === null ||
    picked.includes(operation) ||
    (operationId !== null && picked.includes(operationId))

  function stepOf(verdict: OperationVerdict): Step {
    const { operation, operationId } = verdict
    const skip = (reason: string): Step => ({ kind: 'skip', operation, reason })
    if (!isPicked(verdict)) return skip('is not among the operations that were picked')
    const known = byKey.get(operation)
    if (verdict.kind === 'skipped') {
      return skip(known === undefined ? verdict.reason : `stays as it is: ${verdict.reason}`)
    }
    const { tool, kept, warnings } = verdict
    const problem = urlProblem(tool)
    if (problem !== null) return skip(`cannot be called: its URL ${problem}`)
    const { name: wanted, ...described } = tool
    const source = { kind: 'openapi', documentHash: plan.hash, tool: kept } as const
    if (known !== undefined) {
      const step = changeOf(known, described, { operation, source, warnings })
      if (step === null) return skip(OTHER_SOURCE)
      const moved = step.kind === 'change' ? newHostOf(step.merged.tool) : null
      return moved === null ? step : skip(`stays as it is: ${elsewhere(moved, hosts)}`)
    }
    const moved = newHostOf(tool)
    if (moved !== null) return skip(elsewhere(moved, hosts))
    const name = giveName(wanted)
    const renamed =
      name === wanted ? [] : [`there is a tool named ${wanted}, so this one is ${name}`]
    const all = [...renamed, ...warnings]
    return { kind: 'add', operation, operationId, tool: { ...tool, name }, source, warnings: all }
  }

  const steps = plan.verdicts.map(stepOf)
  if (picked !== null) return [...steps, ...pickedInVain(plan, picked)]
  const keys = new Set(plan.verdicts.map(({ operation }) => operation))
  const gone = stored.filter(({ sourceKey }) => !keys.has(sourceKey)).flatMap(removalOf)
  return [...steps, ...gone]
}

/** Scheme and host that get credentials of the integration; null: none of them goes with it. */
function credentialsHostOf(config: HttpConfig | null): string | null {
  const isSecret =
    config !== null && allFillingsOf(config).some(({ kind }) => kind === 'credentials')
  return isSecret ? originOf(config.url) : null
}

function elsewhere(host: string, hosts: ReadonlySet<string>): string {
  return `the document has its credentials go to ${host} now, and so far they went to ${[...hosts].join(' and ')}: say so with baseUrl, ${host} and the path there, if that is right`
}

const OTHER_SOURCE = 'the integration has a tool of this name that came from elsewhere'

function pickedInVain({ verdicts }: ToolPlan, picked: readonly string[]): Step[] {
  const known = new Set(verdicts.flatMap(({ operation, operationId }) => [operation, operationId]))
  return [...new Set(picked)]
    .filter((one) => !known.has(one))
    .map((operation) => ({ kind: 'skip', operation, reason: 'is no operation of the document' }))
}

/** null: it is none of ours. */
function changeOf(
  stored: StoredTool,
  theirs: Omit<PlannedTool, 'name'>,
  about: {
    readonly operation: string
    readonly source: ImportedSource
    readonly warnings: readonly string[]
  },
): Step | null {
  const source = importedSource.safeParse(stored.source)
  if (!source.success || stored.httpConfig === null) return null
  const { removed, tool: before } = source.data
  if (removed === undefined && isDeepStrictEqual(before, about.source.tool)) {
    return { kind: 'keep', operation: about.operation, stored }
  }
  // What was switched off because its operation was gone is on again as it was.
  const isBack = removed !== undefined && !stored.isEnabled
  const ours = {
    description: stored.description,
    argsSchema: stored.argsSchema,
    outputSchema: stored.outputSchema,
    httpConfig: stored.httpConfig,
    isEnabled: isBack ? removed.wasEnabled : stored.isEnabled,
    approval: stored.approval,
  }
  const merged = mergeTool(before, ours, theirs, about.source.tool)
  return { kind: 'change', stored, merged, ...about }
}

function removalOf(stored: StoredTool): Step[] {
  const source = importedSource.safeParse(stored.source)
  if (!source.success || source.data.removed !== undefined) return []
  return [
    {
      kind: 'remove',
      operation: stored.sourceKey,
      stored,
      source: { ...source.data, removed: { wasEnabled: stored.isEnabled } },
    },
  ]
}
