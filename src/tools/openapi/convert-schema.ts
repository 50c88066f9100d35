import { isNode, type Node } from './node.ts'
import { plainKeywords, requiredOf } from './plain-keywords.ts'
import { type Follow, isReference, segmentsOf } from './reference.ts'
import { Unusable } from './unusable.ts'

/** The rules for a tool's schema allow one level more. */
const MAX_LEVEL = 9
/** Of text for each node that may come of it: a description of ten words. */
const BYTES_PER_NODE = 60

/** Keywords whose value is a schema, a list of schemas, or schemas by name. */
const ONE = ['items', 'not', 'if', 'then', 'else', 'contains', 'propertyNames', 'unevaluatedItems']
const ONE_OR_FLAG = ['additionalProperties', 'unevaluatedProperties']
const MANY = ['allOf', 'anyOf', 'oneOf', 'prefixItems']
const BY_NAME = ['patternProperties', 'dependentSchemas']
/** A schema that has one of these is more than a plain value. */
const STRUCTURE = ['properties', ...ONE, ...ONE_OR_FLAG, ...MANY, ...BY_NAME]

interface ConverterOptions {
  readonly follow: Follow
  /** `request`: what the server alone sets (`readOnly`) goes; `response`: what only requests have (`writeOnly`). */
  readonly direction: 'request' | 'response'
  /** Objects and lists that may come of it; what is beyond, is described as anything. */
  readonly maxNodes: number
}

/**
 * Makes JSON Schemas of the schemas of one operation. What they refer to stands once under `$defs`, so that cycles stay
 * what they are; plain values stand where they are used.
 */
export function makeConverter({
  follow: { find, follow, lastOf },
  direction,
  maxNodes,
}: ConverterOptions) {
  const hidden = direction === 'request' ? 'readOnly' : 'writeOnly'
  const names = new Map<string, string>()
  const open: { readonly name: string; readonly reference: string }[] = []
  const defs: Record<string, unknown> = {}
  const warnings = new Set<string>()
  const maxBytes = maxNodes * BYTES_PER_NODE
  let nodes = 0
  let bytes = 0
  let simplified = 0

  const warn = (text: string) => void warnings.add(text)

  function isHidden(schema: unknown): boolean {
    return isNode(schema) && follow(schema)[hidden] === true
  }

  function take(count: number, size: number): void {
    nodes += count
    bytes += size
  }

  /** @param level schemas around this one */
  function convert(given: unknown, level: number): Node | boolean {
    if (typeof given === 'boolean') return given
    if (!isNode(given)) return {}
    if (nodes >= maxNodes || bytes >= maxBytes || level > MAX_LEVEL) return simplify(given)
    if (!isReference(given)) return convertPlain(given, level)
    const { reference, target, beside } = lastOf(given)
    if (typeof target === 'boolean') return target
    if (!isNode(target)) {
      throw new Unusable(`refers to ${reference.slice(0, 200)}, which is no schema`)
    }
    if (isPlainValue(target)) return convertPlain({ ...target, ...beside }, level)
    return { ...convertPlain(beside, level), $ref: `#/$defs/${nameOf(reference)}` }
  }

  function convertPlain(schema: Node, level: number): Node {
    const out = plainKeywords(schema, warn)
    take(1 + Object.values(out).filter((value) => typeof value === 'object').length, sizeOf(out))
    const inner = (value: unknown) => convert(value, level + 1)
    const required = requiredOf(schema)
    const { properties } = schema
    if (isNode(properties)) {
      const shown = Object.entries(properties).filter(([, value]) => !isHidden(value))
      out.properties = Object.fromEntries(shown.map(([name, value]) => [name, inner(value)]))
      take(
        1,
        shown.reduce((sum, [name]) => sum + name.length + 6, 0),
      )
    }
    const kept = required.filter((name) => !(isNode(properties) && isHidden(properties[name])))
    if (kept.length > 0) out.required = kept
    take(kept.length > 0 ? 1 : 0, kept.join().length)
    for (const name of ONE) {
      const value = schema[name]
      // A list of schemas is how older dialects write a tuple.
      if (name === 'items' && Array.isArray(value)) out.prefixItems = value.map(inner)
      else if (isNode(value) || typeof value === 'boolean') out[name] = inner(value)
    }
    for (const name of ONE_OR_FLAG) {
      const value = schema[name]
      if (isNode(value) || typeof value === 'boolean') out[name] = inner(value)
    }
    for (const name of MANY) {
      const value = schema[name]
      if (!Array.isArray(value) || value.length === 0) continue
      take(1, 0)
      out[name] = value.map(inner)
    }
    for (const name of BY_NAME) {
      const value = schema[name]
      if (!isNode(value)) continue
      take(1, 0)
      out[name] = Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inner(one)]))
    }
    return out
  }

  /** What there is no room for: anything of its kind. */
  function simplify(schema: Node): Node {
    simplified += 1
    take(1, 40)
    const { type } = schema
    return typeof type === 'string' &&
      typeof schema.$ref !== 'string' &&
      /^(?:object|array|string|number|integer|boolean)$/.test(type)
      ? { type }
      : {}
  }

  function nameOf(reference: string): string {
    const known = names.get(reference)
    if (known !== undefined) return known
    const last = segmentsOf(reference).at(-1) ?? ''
    const plain = last.replace(/[^A-Za-z0-9_.-]+/g, '_').slice(0, 60) || 'Root'
    const taken = new Set(names.values())
    let name = plain
    for (let number = 2; taken.has(name); number += 1) name = `${plain}_${number}`
    names.set(reference, name)
    open.push({ name, reference })
    return name
  }

  return {
    /** @param level schemas around it in the schema that it becomes a part of */
    convert,

    /** Follows references at the root: a tool's schema is one itself. */
    convertRoot: (schema: unknown): Node => convertPlain(follow(schema), 0),

    isHidden,

    /** What the schemas so far refer to, and what was lost on the way. Nearer ones come first, where not all have room. */
    finish(): { readonly defs: Node; readonly warnings: readonly string[] } {
      for (let next = open.shift(); next !== undefined; next = open.shift()) {
        const target = find(next.reference)
        defs[next.name] =
          nodes >= maxNodes || bytes >= maxBytes
            ? simplify(isNode(target) ? target : {})
            : convertPlain(isNode(target) ? target : {}, 1)
      }
      const what = direction === 'request' ? 'arguments' : 'result'
      const lost = `the schema of its ${what} is too large to be kept whole: ${simplified} parts of it are described as anything`
      return { defs, warnings: [...warnings, ...(simplified === 0 ? [] : [lost])] }
    },
  }
}
export type Converter = ReturnType<typeof makeConverter>

function isPlainValue(schema: Node): boolean {
  return schema.type !== 'object' && STRUCTURE.every((name) => schema[name] === undefined)
}

function sizeOf(keywords: Record<string, unknown>): number {
  return JSON.stringify(keywords).length
}
