import { isDeepStrictEqual } from 'node:util'
import type { JsonSchema } from '../args.ts'
import type { HttpConfig } from '../http-config.ts'
import { type ImportedSource, importedSource } from './imported-source.ts'
import { type MergedTool, mergeTool } from './merge-tool.ts'
import { freeName } from './operation-name.ts'
import type { OperationVerdict, ToolPlan } from './plan-tools.ts'
import type { PlannedTool } from './planned-tool.ts'

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
  /** Why the org may not call a URL, or null. */
  readonly urlProblem: (tool: PlannedTool) => string | null
  /** Whatever the case. */
  readonly isNameTaken: (name: string) => boolean
}

/**
 * What an import does: each operation of the document has one step, in its order; then what was picked in vain, and the tools
 * whose operation is gone. Where operations are picked, nothing but these is touched.
 */
export function diffPlan({ plan, stored, picked, urlProblem, isNameTaken }: DiffOptions): Step[] {
  const byKey = new Map(stored.map((tool) => [tool.sourceKey, tool]))
  const names = new Set<string>()
  const isPicked = ({ operation, operationId }: OperationVerdict) =>
    picked === null ||
    picked.includes(operation) ||
    (operationId !== null && picked.includes(operationId))

  function stepOf(verdict: OperationVerdict): Step {
    const { operation, operationId } = verdict
    const skip = (reason: string): Step => ({ kind: 'skip', operation, reason })
    if (!isPicked(verdict)) return skip('is not among the operations that were picked')
    if (verdict.kind === 'skipped') return skip(verdict.reason)
    const { tool, kept, warnings } = verdict
    const problem = urlProblem(tool)
    if (problem !== null) return skip(`cannot be called: its URL ${problem}`)
    const { name: wanted, ...described } = tool
    const known = byKey.get(operation)
    const source = { kind: 'openapi', documentHash: plan.hash, tool: kept } as const
    if (known !== undefined)
      return changeOf(known, described, { operation, source, warnings }) ?? skip(OTHER_SOURCE)
    const name = freeName(wanted, (one) => names.has(one.toLowerCase()) || isNameTaken(one))
    names.add(name.toLowerCase())
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
