import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { wireNameOf } from '../../../core/tool-name.ts'
import type { JsonSchema } from '../../args.ts'
import { type OfferedTool, type SkippedTool, toolNameOf } from './fit-tool.ts'

type Definition = Pick<OfferedTool, 'description' | 'argsSchema' | 'outputSchema'>

/** A tool as its server last gave it. Where the row differs from it, a person changed it. */
export interface ToolSource extends Definition {
  readonly name: string
  readonly prefix: string
  /** The server has it no more. */
  readonly isGone: boolean
  /** Whether it was enabled when it went. */
  readonly wasEnabled: boolean
}

/** A row of the integration. */
export interface KnownTool extends Definition {
  readonly id: string
  readonly key: string
  readonly name: string
  readonly wireName: string
  readonly isEnabled: boolean
  readonly approval: 'auto' | 'ask'
  readonly source: ToolSource
}

export interface ToolColumns extends Definition {
  readonly name: string
  readonly wireName: string
  readonly isEnabled: boolean
  readonly approval: 'auto' | 'ask'
  readonly source: ToolSource
}

export interface ToolsPlan {
  readonly added: readonly (ToolColumns & { readonly key: string })[]
  /** `isRedefined`: the server says something else of it than before. */
  readonly changed: readonly (ToolColumns & {
    readonly id: string
    readonly isRedefined: boolean
  })[]
  readonly removed: readonly (ToolColumns & { readonly id: string })[]
  /** Rows of tools that are gone, given up for those that came. */
  readonly dropped: readonly KnownTool[]
  readonly skipped: readonly SkippedTool[]
  /** Tools that the server offers and that are rows. */
  readonly tools: number
}

export interface ToolsState {
  readonly known: readonly KnownTool[]
  /** What the server lists, fit, no key twice. */
  readonly offered: readonly OfferedTool[]
  /** The org's other tools, those that are built in too. */
  readonly others: readonly { readonly name: string; readonly wireName: string }[]
  readonly prefix: string
  /** Of a tool that comes, or that says something else than before. */
  readonly approval: 'auto' | 'ask'
  readonly room: {
    /** Rows that the integration may have. */
    readonly tools: number
    /** Bytes of the schemas of all of them. */
    readonly bytes: number
  }
}

/** What a reading of a server's list makes of the rows. Decides all, and does nothing. */
export function planTools(state: ToolsState): ToolsPlan {
  const { known, others, room } = state
  const fits = offeredThatFit(state)
  const offered = new Map(fits.offered.map((tool) => [tool.key, tool]))
  const names = makeNames([...others, ...known])

  const changed = known.flatMap((row) => {
    const tool = offered.get(row.key)
    const next = tool === undefined ? null : follow(row, tool, state, names)
    return next === null ? [] : [next]
  })
  const removed = known
    .filter((row) => !offered.has(row.key) && !row.source.isGone)
    .map((row) => ({ ...row, isEnabled: false, source: goneSource(row) }))

  const keys = new Set(known.map((row) => row.key))
  const fresh = fits.offered.filter((tool) => !keys.has(tool.key)).toSorted(byPlainness)
  const gone = known.filter((row) => !offered.has(row.key))
  const free = room.tools - known.length
  const dropped = gone.slice(0, Math.max(0, fresh.length - free))
  const taken = fresh.slice(0, Math.max(0, free + dropped.length))
  const left = fresh.slice(taken.length)
  const isDropped = new Set(dropped.map((row) => row.id))
  const made = taken.map((tool) => ({ tool, made: newTool(tool, state, names) }))
  const added = made.flatMap(({ made }) => (made === null ? [] : [made]))
  const unnamed = made.flatMap(({ tool, made }) => (made === null ? [tool] : []))
  return {
    added,
    changed,
    removed: removed.filter((row) => !isDropped.has(row.id)),
    dropped,
    skipped: [
      ...fits.skipped,
      ...unnamed.map(({ key }) => ({ name: key, reason: 'its name is that of another tool' })),
      ...left.map(({ key }) => ({
        name: key,
        reason: `there is room for ${room.tools} tools of this server, and no more`,
      })),
    ],
    tools: offered.size - left.length - unnamed.length,
  }
}

/** Whose name needs no change goes first, so that the order of the list decides no name. */
function byPlainness(one: OfferedTool, other: OfferedTool): number {
  const odd = ({ key }: OfferedTool) => Number(/[^a-zA-Z0-9_.-]/.test(key))
  return odd(one) - odd(other) || (one.key < other.key ? -1 : 1)
}

/** Those whose schemas fit into the room, the known ones first. */
function offeredThatFit({ known, offered, room }: ToolsState) {
  const keys = new Map(known.map((row) => [row.key, row]))
  const skipped: SkippedTool[] = []
  const ordered = [
    ...offered.filter((tool) => keys.has(tool.key)),
    ...offered.filter((tool) => !keys.has(tool.key)),
  ]
  const fit: OfferedTool[] = []
  const isOffered = new Set(offered.map((tool) => tool.key))
  let bytes = known
    .filter((row) => !isOffered.has(row.key))
    .reduce((sum, row) => sum + bytesOf(row.argsSchema), 0)
  for (const tool of ordered) {
    const row = keys.get(tool.key)
    const isTheirs = row === undefined || follows(row).argsSchema
    const size = bytesOf(isTheirs ? tool.argsSchema : row.argsSchema)
    if (bytes + size > room.bytes) {
      const reason = 'the schemas of the org’s tools have no room for its own (TOOLS_PER_ORG)'
      skipped.push({ name: tool.key, reason })
    } else {
      bytes += size
      fit.push(tool)
    }
  }
  return { offered: fit, skipped }
}

/** At least what the database counts, which writes a space after each comma and colon. */
function bytesOf(schema: JsonSchema): number {
  const text = JSON.stringify(schema)
  return Buffer.byteLength(text) + (text.match(/[,:]/g)?.length ?? 0)
}

/** Which members are still as the server gave them: nobody changed them. */
function follows(row: KnownTool) {
  const { source } = row
  return {
    name: row.name === source.name,
    description: row.description === source.description,
    argsSchema: isDeepStrictEqual(row.argsSchema, source.argsSchema),
    outputSchema: isDeepStrictEqual(row.outputSchema, source.outputSchema),
  }
}

/** The row as it becomes; null: it stays as it is. */
function follow(row: KnownTool, tool: OfferedTool, state: ToolsState, names: Names) {
  const { source } = row
  const { key: _, ...offered } = tool
  const is = follows(row)
  const isRedefined = !isDeepStrictEqual(offered, {
    description: source.description,
    argsSchema: source.argsSchema,
    outputSchema: source.outputSchema,
  })
  const isRenamed = state.prefix !== source.prefix && is.name
  if (!isRedefined && !source.isGone && !isRenamed) return null
  // Where its new name is another's it keeps the one that it has.
  const named = (isRenamed ? names.take(state.prefix, tool.key) : null) ?? row
  const columns = {
    id: row.id,
    isRedefined,
    name: named.name,
    wireName: named.wireName,
    description: is.description ? offered.description : row.description,
    argsSchema: is.argsSchema ? offered.argsSchema : row.argsSchema,
    outputSchema: is.outputSchema ? offered.outputSchema : row.outputSchema,
    isEnabled: row.isEnabled || (source.isGone && source.wasEnabled),
    // What a person had let through was another tool.
    approval: isRedefined && state.approval === 'ask' ? ('ask' as const) : row.approval,
  }
  const given = isRenamed ? { name: named.name, prefix: state.prefix } : source
  return { ...columns, source: toSource(offered, given) }
}

function goneSource(row: KnownTool): ToolSource {
  return { ...row.source, isGone: true, wasEnabled: row.isEnabled }
}

function newTool(
  { key, ...definition }: OfferedTool,
  { prefix, approval }: ToolsState,
  names: Names,
) {
  const named = names.take(prefix, key)
  if (named === null) return null
  const source = toSource(definition, { name: named.name, prefix })
  return { key, ...definition, ...named, isEnabled: true, approval, source }
}

function toSource(
  { description, argsSchema, outputSchema }: Definition,
  { name, prefix }: Pick<ToolSource, 'name' | 'prefix'>,
): ToolSource {
  return { name, prefix, description, argsSchema, outputSchema, isGone: false, wasEnabled: true }
}

type Names = ReturnType<typeof makeNames>

/** The names that are taken, growing as names are given. */
function makeNames(taken: readonly { readonly name: string; readonly wireName: string }[]) {
  const names = new Set(taken.map(({ name }) => name.toLowerCase()))
  const wireNames = new Set(taken.map(({ wireName }) => wireName))
  const isTaken = (name: string) => names.has(name.toLowerCase())

  /** null: also the name with a mark is another's, which was made to be. */
  function take(prefix: string, key: string) {
    const name = toolNameOf(prefix, key, isTaken)
    const digest = createHash('sha256').update(name).digest('hex')
    const wireName = wireNameOf(name, digest, (each) => wireNames.has(each))
    if (isTaken(name) || wireNames.has(wireName)) return null
    names.add(name.toLowerCase())
    wireNames.add(wireName)
    return { name, wireName }
  }

  return { take }
}
