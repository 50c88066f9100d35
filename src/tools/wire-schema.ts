import type { JsonSchema } from './args.ts'
import { fromPointer, resolveRef, rootPropertiesOf } from './root-properties.ts'
import { NAMED_SCHEMAS, REFERENCES } from './schema-keywords.ts'
import { wireNamesOf } from './wire-names.ts'

/** What no root may have: OpenAI and Anthropic refuse choices there, and `$schema` names a dialect that it has no longer. */
const NOT_AT_ROOT = new Set(['$schema', '$ref', 'anyOf', 'oneOf', 'allOf', 'not', 'enum', 'const'])
/** What says something of members by their names, which are others now. */
const BY_NAME = new Set([
  'if',
  'then',
  'else',
  'dependentRequired',
  'dependentSchemas',
  'dependencies',
  'patternProperties',
  'propertyNames',
  'unevaluatedProperties',
])
const SCHEMAS = new Set([
  'items',
  'contains',
  'not',
  'if',
  'then',
  'else',
  'additionalProperties',
  'unevaluatedProperties',
  'unevaluatedItems',
  'propertyNames',
])
const LISTS = new Set(['anyOf', 'oneOf', 'allOf', 'prefixItems'])

interface Tool {
  readonly root: JsonSchema
  /** Wire names by the tool's own. */
  readonly names: ReadonlyMap<string, string>
}

export interface WireSchema extends Record<string, unknown> {
  type: 'object'
}

/**
 * A schema of arguments as every model API takes it. One tool that breaks an API's rule makes the whole request fail, so
 * that the strictest rule holds for all:
 *
 * - the root is an object with `properties`, without `$ref`, `anyOf`, `oneOf`, `allOf`, `not`, `enum` (OpenAI, Anthropic);
 * - names of arguments are letters, digits and underscores, 64 at most (Gemini; Anthropic takes `.` and `-`, too);
 * - each array has `items`, one schema (OpenAI, Gemini); what is required is described (Gemini); the dialect is 2020-12
 *   (Anthropic).
 *
 * It lets through what the tool's own schema does and sometimes more; of a choice at the root, the members of each branch are
 * offered side by side, as that branch has them. The tool's own schema checks the arguments when it is run, after
 * `fromWireArgs`, and what does not fit is told to the model then.
 */
export function toWireSchema(schema: JsonSchema): WireSchema {
  const { properties, required } = rootPropertiesOf(schema)
  const names = wireNamesOf(Object.keys(properties))
  const tool = { root: schema, names }
  const isFlattened = Object.keys(schema).some(
    (keyword) => NOT_AT_ROOT.has(keyword) && keyword !== '$schema',
  )
  const isLeftOut = (keyword: string) =>
    NOT_AT_ROOT.has(keyword) ||
    (names.size > 0 && BY_NAME.has(keyword)) ||
    (isFlattened && keyword === 'unevaluatedProperties') ||
    // Without the patterns, it would refuse what they let through.
    (names.size > 0 &&
      keyword === 'additionalProperties' &&
      Object.hasOwn(schema, 'patternProperties'))
  const rest = Object.entries(schema).filter(([keyword]) => !isLeftOut(keyword))
  return {
    ...toWire(Object.fromEntries(rest), tool),
    type: 'object',
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, value]) => [
        names.get(name) ?? name,
        toWireSubschema(value, tool),
      ]),
    ),
    ...(required.length === 0 ? {} : { required: required.map((name) => names.get(name) ?? name) }),
  }
}

function toWireSubschema(schema: unknown, tool: Tool): unknown {
  if (schema === true) return {}
  if (schema === false) return { not: {} }
  return isObject(schema) ? toWire(schema, tool) : schema
}

function toWire(schema: JsonSchema, tool: Tool): JsonSchema {
  const wire = Object.entries(fromTuple(schema)).flatMap(([keyword, value]) => {
    if (!REFERENCES.has(keyword)) return [[keyword, toWireValue(keyword, value, tool)] as const]
    const ref = toWireRef(String(value), tool)
    return ref === null ? [] : [[keyword, ref] as const]
  })
  return withItems(withRequired(Object.fromEntries(wire)))
}

function toWireValue(keyword: string, value: unknown, tool: Tool): unknown {
  if (SCHEMAS.has(keyword)) {
    const isSwitch = typeof value === 'boolean' && keyword !== 'items'
    return isSwitch ? value : toWireSubschema(value, tool)
  }
  if (LISTS.has(keyword) && Array.isArray(value)) {
    return value.map((each) => toWireSubschema(each, tool))
  }
  if (!NAMED_SCHEMAS.has(keyword) || !isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, toWireSubschema(each, tool)]),
  )
}

/** draft-07's list of items, as 2020-12 writes it. */
function fromTuple(schema: JsonSchema): JsonSchema {
  if (!Array.isArray(schema.items)) return schema
  const { items, additionalItems = {}, ...rest } = schema
  return { ...rest, prefixItems: items, items: additionalItems }
}

function withItems(schema: JsonSchema): JsonSchema {
  const isArray =
    schema.type === 'array' || (Array.isArray(schema.type) && schema.type.includes('array'))
  return isArray && !Object.hasOwn(schema, 'items') ? { ...schema, items: {} } : schema
}

function withRequired(schema: JsonSchema): JsonSchema {
  if (!Array.isArray(schema.required)) return schema
  const known = isObject(schema.properties) ? schema.properties : {}
  const unknown = schema.required.filter((name) => !Object.hasOwn(known, name))
  if (unknown.length === 0) return schema
  return {
    ...schema,
    properties: { ...known, ...Object.fromEntries(unknown.map((name) => [name, {}])) },
  }
}

/** null: it leads to where nothing is any more, so that the place is left open. */
function toWireRef(ref: string, { root, names }: Tool): string | null {
  // Within the root, names are the tool's own.
  if (ref === '#') return names.size === 0 ? ref : null
  if (!ref.startsWith('#/')) return ref
  const [keyword = '', segment = '', ...rest] = ref.slice(2).split('/')
  const isKept = NAMED_SCHEMAS.has(keyword) && !/\/items\/\d/.test(ref)
  if (!isKept || resolveRef(root, ref) === undefined) return null
  const name = keyword === 'properties' ? names.get(fromPointer(segment)) : undefined
  return name === undefined ? ref : ['#', keyword, name, ...rest].join('/')
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
