import { patternProblem } from '../pattern-rules.ts'
import { isNode, type Node } from './node.ts'
import { plainText } from './plain-text.ts'

const TYPES = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer']
const NUMBERS = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum']
const COUNTS = [
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'minContains',
  'maxContains',
]
const TEXTS = ['format', 'contentEncoding', 'contentMediaType']
const FLAGS = ['uniqueItems', 'deprecated']
const MAX_DESCRIPTION_LENGTH = 512
const MAX_SAMPLE_LENGTH = 200

/**
 * What a schema says without further schemas in it: the keywords of JSON Schema that are well-formed. Vendors' own ones, those
 * of OpenAPI alone and broken ones go; where that changes what fits, it is warned of.
 */
export function plainKeywords(schema: Node, warn: (text: string) => void): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  const keep = (names: readonly string[], isFine: (value: unknown) => boolean) => {
    for (const name of names) if (isFine(schema[name])) kept[name] = schema[name]
  }
  const type = typesOf(schema.type)
  if (type !== undefined) kept.type = type
  else if (schema.type !== undefined) warn(`type ${shown(schema.type)} is none of JSON Schema's`)
  const description = typeof schema.description === 'string' ? schema.description : schema.title
  if (typeof description === 'string' && description !== '') {
    const text = plainText(description, MAX_DESCRIPTION_LENGTH)
    if (text !== '') kept.description = text
  }
  keep(TEXTS, (value) => typeof value === 'string' && value.length <= 100)
  keep(NUMBERS, (value) => typeof value === 'number' && Number.isFinite(value))
  keep(['multipleOf'], (value) => typeof value === 'number' && value > 0)
  keep(COUNTS, (value) => Number.isInteger(value) && Number(value) >= 0)
  keep(FLAGS, (value) => value === true)
  keep(['const'], (value) => value !== undefined)
  keep(['enum'], (value) => Array.isArray(value) && value.length > 0)
  keep(['default'], (value) => value !== undefined && isShort(value))
  if (Array.isArray(schema.examples)) {
    const sample = schema.examples.filter(isShort).slice(0, 1)
    if (sample.length > 0) kept.examples = sample
  }
  if (typeof schema.pattern === 'string') {
    const problem = patternProblem(schema.pattern)
    if (problem === null) kept.pattern = schema.pattern
    else warn(`the pattern ${shown(schema.pattern)} ${problem}, and is not checked`)
  }
  const dependent = schema.dependentRequired
  if (isNode(dependent) && Object.values(dependent).every(isListOfTexts)) {
    kept.dependentRequired = dependent
  }
  return kept
}

/** The names that it requires, each once. */
export function requiredOf(schema: Node): string[] {
  const { required } = schema
  if (!Array.isArray(required)) return []
  return [...new Set(required.filter((name) => typeof name === 'string'))]
}

function typesOf(type: unknown): string | string[] | undefined {
  if (typeof type === 'string') return TYPES.includes(type) ? type : undefined
  if (!Array.isArray(type)) return undefined
  const known = [...new Set(type.flat().filter((name) => TYPES.includes(name)))]
  return known.length === 0 ? undefined : known
}

function isListOfTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string')
}

function isShort(value: unknown): boolean {
  const text = JSON.stringify(value)
  return text !== undefined && text.length <= MAX_SAMPLE_LENGTH
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? '').slice(0, 80).toWellFormed()
}
