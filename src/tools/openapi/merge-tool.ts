import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { isNode } from './node.ts'
import type { PlannedTool } from './planned-tool.ts'

/** What a document says of a tool, beside its name, which stays what it became at first. */
export type DescribedTool = Omit<PlannedTool, 'name'>

/** The same as it is kept beside the tool: of schemas, which may be large, only a digest. */
export interface KeptTool extends Omit<DescribedTool, 'argsSchema' | 'outputSchema'> {
  readonly argsDigest: string
  readonly outputDigest: string
}

export interface MergedTool {
  readonly tool: DescribedTool
  /** What the document has changed since, like `httpConfig`; empty: nothing. */
  readonly changed: readonly (keyof DescribedTool)[]
  /** What a person has changed, and stays so although the document says otherwise. */
  readonly kept: readonly (keyof DescribedTool)[]
}

/**
 * A tool after its document has changed: what a person changed stays, everything else becomes what the document says now.
 *
 * @param before as the document said last
 * @param ours as the tool is
 * @param theirs as the document says now
 * @param now the same, as it is kept
 */
export function mergeTool(
  before: KeptTool,
  ours: DescribedTool,
  theirs: DescribedTool,
  now: KeptTool,
): MergedTool {
  const mine = keptTool(ours)
  const schema = <Name extends 'argsSchema' | 'outputSchema'>(
    name: Name,
    digest: 'argsDigest' | 'outputDigest',
  ) => (mine[digest] === before[digest] ? theirs[name] : ours[name])
  const tool = {
    description: merge(before.description, ours.description, theirs.description),
    argsSchema: schema('argsSchema', 'argsDigest'),
    outputSchema: schema('outputSchema', 'outputDigest'),
    httpConfig: mergeConfig(before.httpConfig, ours.httpConfig, theirs.httpConfig),
    isEnabled: merge(before.isEnabled, ours.isEnabled, theirs.isEnabled),
    // A document does not take a person's yes away from a tool that runs.
    approval:
      ours.isEnabled && ours.approval === 'ask'
        ? ours.approval
        : merge(before.approval, ours.approval, theirs.approval),
  }
  return {
    tool,
    changed: FIELDS.filter((name) => {
      const digest = DIGESTS[name] ?? name
      return !isDeepStrictEqual(memberOf(before, digest), memberOf(now, digest))
    }),
    kept: FIELDS.filter((name) => !isDeepStrictEqual(tool[name], theirs[name])),
  }
}

const FIELDS = [
  'description',
  'argsSchema',
  'outputSchema',
  'httpConfig',
  'isEnabled',
  'approval',
] as const

const DIGESTS: Readonly<Record<string, string>> = {
  argsSchema: 'argsDigest',
  outputSchema: 'outputDigest',
}

export function keptTool({ argsSchema, outputSchema, ...rest }: DescribedTool): KeptTool {
  return { ...rest, argsDigest: digestOf(argsSchema), outputDigest: digestOf(outputSchema) }
}

function merge<Value>(before: Value, ours: Value, theirs: Value): Value {
  return isDeepStrictEqual(ours, before) ? theirs : ours
}

type Config = DescribedTool['httpConfig']

/** Member by member, and of headers and query one by one: who sets a timeout still gets a new URL. */
function mergeConfig(before: Config, ours: Config, theirs: Config): Config {
  const headers = mergeMembers(before.headers ?? {}, ours.headers ?? {}, theirs.headers ?? {})
  const query = mergeMembers(before.query ?? {}, ours.query ?? {}, theirs.query ?? {})
  const { headers: _, query: __, ...rest } = mergeMembers(before, ours, theirs)
  return {
    ...rest,
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    ...(Object.keys(query).length === 0 ? {} : { query }),
  }
}

function mergeMembers<Whole extends object>(before: Whole, ours: Whole, theirs: Whole): Whole {
  const names = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])]
  const members = names.map((name) => [
    name,
    merge(memberOf(before, name), memberOf(ours, name), memberOf(theirs, name)),
  ])
  return Object.fromEntries(members.filter(([, value]) => value !== undefined))
}

function memberOf(whole: object, name: string): unknown {
  return Object.hasOwn(whole, name) ? Reflect.get(whole, name) : undefined
}

/** The same for the same JSON, in whatever order its members stand: the database keeps none. */
function digestOf(value: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(value)))
    .digest('base64url')
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isNode(value)) return value
  const entries = Object.entries(value).map(([key, one]) => [key, sorted(one)] as const)
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}
