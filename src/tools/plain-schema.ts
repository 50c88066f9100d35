import type { JsonSchema } from './args.ts'

/** What looks at a value once and is done, or says nothing about it. */
const PLAIN = new Set([
  '$schema',
  'type',
  'title',
  'description',
  'required',
  'enum',
  'const',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
])
const MAX_LEVELS = 10

/**
 * Whether a check with this schema takes no more steps than the size of the schema times that of the arguments: each value
 * meets one schema, and no pattern, format, reference or choice. What is not known is not plain.
 */
export function isPlainSchema(schema: unknown, levels = MAX_LEVELS): boolean {
  if (typeof schema === 'boolean') return true
  if (!isObject(schema) || levels === 0) return false
  return Object.entries(schema).every(([keyword, value]) => {
    if (keyword === 'items' || keyword === 'additionalProperties') {
      return isPlainSchema(value, levels - 1)
    }
    if (keyword !== 'properties') return PLAIN.has(keyword)
    return isObject(value) && Object.values(value).every((each) => isPlainSchema(each, levels - 1))
  })
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
