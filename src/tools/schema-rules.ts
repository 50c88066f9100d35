import { invalidField } from '../core/error.ts'
import type { JsonSchema } from './args.ts'

const MAX_BYTES = 65_536
const MAX_DEPTH = 20
const MAX_NODES = 2000
/** A repetition inside a repetition: what makes a backtracking matcher take exponential time. */
const NESTED_REPEAT =
  /\((?:[^()\\]|\\.)*(?:[+*]|\{\d+,\d*\})(?:[^()\\]|\\.)*\)\s*(?:[+*]|\{\d+,\d*\})/

/** Throws `INVALID_BODY` for a schema that is too large, reaches outside itself, or could hang the process. */
export function assertSafeSchema(schema: JsonSchema, compile: (schema: JsonSchema) => unknown) {
  const refuse = (message: string) => invalidField('argsSchema', message)
  if (schema.type !== 'object') throw refuse('must have "type": "object" at its root')
  if (JSON.stringify(schema).length > MAX_BYTES) throw refuse(`is over ${MAX_BYTES} bytes`)
  const problem = walk(schema, 0, { nodes: 0 })
  if (problem !== null) throw refuse(problem)
  try {
    compile(schema)
  } catch (error) {
    throw refuse(`is not a JSON Schema: ${error instanceof Error ? error.message : 'not valid'}`)
  }
}

function walk(node: unknown, depth: number, count: { nodes: number }): string | null {
  if (typeof node !== 'object' || node === null) return null
  count.nodes += 1
  if (count.nodes > MAX_NODES) return `has more than ${MAX_NODES} nodes`
  if (depth > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH} levels`
  for (const [key, value] of Object.entries(node)) {
    const problem = entryProblem(key, value) ?? walk(value, depth + 1, count)
    if (problem !== null) return problem
  }
  return null
}

function entryProblem(key: string, value: unknown): string | null {
  if (key === '__proto__' || key === 'constructor') return `must not name ${key}`
  const isReference = key === '$ref' || key === '$dynamicRef'
  if (isReference && typeof value === 'string' && !value.startsWith('#')) {
    return `refers to ${value.slice(0, 100)}; only references within the schema (#/…) are followed`
  }
  const patterns =
    key === 'pattern' && typeof value === 'string'
      ? [value]
      : key === 'patternProperties' && typeof value === 'object' && value !== null
        ? Object.keys(value)
        : []
  const bad = patterns.find((pattern) => pattern.length > 500 || NESTED_REPEAT.test(pattern))
  return bad === undefined ? null : `has a pattern that could take too long: ${bad.slice(0, 60)}`
}
