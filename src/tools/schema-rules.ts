import { invalidField } from '../core/error.ts'
import type { JsonSchema } from './args.ts'
import { patternProblem } from './pattern-rules.ts'
import { NAMED_SCHEMAS, REFERENCES } from './schema-keywords.ts'

const MAX_BYTES = 65_536
const MAX_LEVELS = 10
const MAX_NODES = 1000
/** Of the JSON text, lists in lists included; below it nothing here can run out of stack. */
const MAX_JSON_DEPTH = 40

/** In draft-07 a member of `dependencies` may be a schema, too. */
const MAPS = new Set([...NAMED_SCHEMAS, 'dependencies'])

/** Throws `INVALID_BODY` for a schema of arguments that is none, or that `schemaProblem` finds fault with. */
export function assertSafeSchema(
  schema: JsonSchema,
  compile: (schema: JsonSchema) => unknown,
): void {
  const refuse = (message: string) => invalidField('argsSchema', message)
  if (schema.type !== 'object') throw refuse('must have "type": "object" at its root')
  const problem = schemaProblem(schema, compile)
  if (problem !== null) throw refuse(problem)
}

/**
 * Why a schema is too large, reaches outside itself, or could hang the process; or null. Looks at every member, also where the
 * dialect sees no schema: a `$ref` can make one of anything.
 */
export function schemaProblem(
  schema: JsonSchema,
  compile: (schema: JsonSchema) => unknown,
): string | null {
  const problem = walk(schema, { isMap: false, level: 0, depth: 0 }, { nodes: 0 })
  if (problem !== null) return problem
  if (Buffer.byteLength(JSON.stringify(schema)) > MAX_BYTES) return `is over ${MAX_BYTES} bytes`
  try {
    compile(schema)
    return null
  } catch (error) {
    return `is not a JSON Schema: ${error instanceof Error ? error.message : 'not valid'}`
  }
}

interface Place {
  readonly isMap: boolean
  /** Schemas around this one. */
  readonly level: number
  readonly depth: number
}

function walk(node: unknown, place: Place, count: { nodes: number }): string | null {
  if (typeof node !== 'object' || node === null) return null
  count.nodes += 1
  if (count.nodes > MAX_NODES) return `has more than ${MAX_NODES} nodes`
  if (place.level > MAX_LEVELS || place.depth > MAX_JSON_DEPTH) {
    return `is nested deeper than ${MAX_LEVELS} levels`
  }
  const isPlain = place.isMap || Array.isArray(node)
  for (const [key, value] of Object.entries(node)) {
    const isMap = !isPlain && MAPS.has(key)
    const isWithin = isMap || Array.isArray(value)
    const inside = { isMap, level: place.level + (isWithin ? 0 : 1), depth: place.depth + 1 }
    const problem = entryProblem(key, value) ?? walk(value, inside, count)
    if (problem !== null) return problem
  }
  return null
}

function entryProblem(key: string, value: unknown): string | null {
  if (key === '__proto__' || key === 'constructor') return `must not name ${key}`
  // A validator of such a schema answers with a promise.
  if (key === '$async') return 'must not have $async'
  if (REFERENCES.has(key) && typeof value === 'string' && !value.startsWith('#')) {
    return `refers to ${value.slice(0, 100)}; only references within the schema (#/…) are followed`
  }
  for (const pattern of patternsOf(key, value)) {
    const problem = patternProblem(pattern)
    if (problem !== null) return `has the pattern ${pattern.slice(0, 60)}, which ${problem}`
  }
  return null
}

function patternsOf(key: string, value: unknown): string[] {
  if (key === 'pattern' && typeof value === 'string') return [value]
  const isMap = key === 'patternProperties' && typeof value === 'object' && value !== null
  return isMap ? Object.keys(value) : []
}
