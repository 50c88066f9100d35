import type { JsonSchema } from './args.ts'

const MAX_SCHEMAS = 100

export interface RootProperties {
  readonly properties: Readonly<Record<string, unknown>>
  /** That every object has that fits. */
  readonly required: readonly string[]
}

/**
 * The members that an object may have by its schema, those included that stand behind a `$ref` or in the branches of
 * `allOf`, `anyOf` and `oneOf`. A member that is described twice may be either.
 */
export function rootPropertiesOf(root: JsonSchema): RootProperties {
  const found = new Map<string, unknown[]>()
  const required = new Set<string>()
  const seen = new Set<unknown>()
  const visit = (schema: unknown, isAlways: boolean) => {
    if (!isObject(schema) || seen.has(schema) || seen.size === MAX_SCHEMAS) return
    seen.add(schema)
    for (const [name, value] of Object.entries(
      isObject(schema.properties) ? schema.properties : {},
    )) {
      const others = found.get(name) ?? []
      const isNew = others.every((other) => JSON.stringify(other) !== JSON.stringify(value))
      if (isNew) found.set(name, [...others, value])
    }
    if (isAlways) for (const name of listOf(schema.required)) required.add(String(name))
    if (typeof schema.$ref === 'string') visit(resolveRef(root, schema.$ref), isAlways)
    for (const branch of listOf(schema.allOf)) visit(branch, isAlways)
    for (const branch of [...listOf(schema.anyOf), ...listOf(schema.oneOf)]) visit(branch, false)
  }
  visit(root, true)
  // What must be there must also be described. (Gemini)
  for (const name of required) if (!found.has(name)) found.set(name, [{}])
  const own = isObject(root.properties) ? root.properties : {}
  const isClosed = root.additionalProperties === false
  const properties = [...found].flatMap(([name, schemas]) => {
    if (isClosed && !required.has(name) && !Object.hasOwn(own, name)) return []
    return [[name, schemas.length === 1 ? schemas[0] : { anyOf: schemas }] as const]
  })
  return { properties: Object.fromEntries(properties), required: [...required] }
}

/** What a reference within the schema stands for, by JSON pointer [RFC 6901]; undefined where it leads nowhere. */
export function resolveRef(root: JsonSchema, ref: string): unknown {
  if (ref === '#') return root
  if (!ref.startsWith('#/')) return undefined
  let at: unknown = root
  for (const segment of ref.slice(2).split('/')) {
    const name = fromPointer(segment)
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined
    at = Object.entries(at).find(([key]) => key === name)?.[1]
  }
  return at
}

/** A segment of a JSON pointer in a URI fragment. [RFC 6901 §6] */
export function fromPointer(segment: string): string {
  return decode(segment).replaceAll('~1', '/').replaceAll('~0', '~')
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
