import { Ajv2020 } from 'ajv/dist/2020.js'

/** What a model's API answers 400 to, in its own words: one tool like this, and the whole request is refused. */

type Schema = Readonly<Record<string, unknown>>

const ajv = new Ajv2020({ strict: false, logger: false })

/** OpenAI, chat completions and Responses alike. `param` is where the tool stands, like `tools[0].function`. */
export function openAiToolProblem(param: string, name: unknown, parameters: unknown) {
  if (typeof name !== 'string' || !/^[a-zA-Z0-9_-]+$/.test(name)) {
    return `Invalid '${param}.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.`
  }
  if (name.length > 64) {
    return `Invalid '${param}.name': string too long. Expected a string with maximum length 64, but got a string with length ${name.length} instead.`
  }
  if (parameters === undefined) return null
  const invalid = (problem: string) => `Invalid schema for function '${name}': ${problem}`
  if (!isObject(parameters) || parameters.type !== 'object' || hasAny(parameters, OPENAI_ROOT)) {
    return invalid(
      `schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.`,
    )
  }
  if (!isObject(parameters.properties)) {
    return invalid('In context=(), object schema missing properties.')
  }
  for (const { schema, path } of subschemasOf(parameters)) {
    const context = `In context=(${path.map((segment) => `'${segment}'`).join(', ')})`
    if (Array.isArray(schema.items))
      return invalid(`${context}, items is not of type 'object', 'boolean'.`)
    if (isArrayType(schema) && schema.items === undefined) {
      return invalid(`${context}, array schema missing items.`)
    }
  }
  return null
}

const OPENAI_ROOT = ['oneOf', 'anyOf', 'allOf', 'enum', 'not']
const KEY = /^[a-zA-Z0-9_.-]{1,64}$/

/** Anthropic. `at` is the tool's place in the list. */
export function anthropicToolProblem(at: number, name: unknown, schema: unknown) {
  const where = `tools.${at}.custom`
  if (typeof name !== 'string' || !/^[a-zA-Z0-9_-]{1,128}$/.test(name)) {
    return `${where}.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'`
  }
  if (!isObject(schema)) return `${where}.input_schema: Field required`
  if (schema.type !== 'object') return `${where}.input_schema.type: Input should be 'object'`
  if (hasAny(schema, ['oneOf', 'allOf', 'anyOf'])) {
    return `${where}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level`
  }
  if (
    Object.keys(isObject(schema.properties) ? schema.properties : {}).some((key) => !KEY.test(key))
  ) {
    return `${where}.input_schema.properties: Property keys should match pattern '${KEY.source}'`
  }
  const isOtherDialect = schema.$schema !== undefined && !String(schema.$schema).includes('2020-12')
  if (isOtherDialect || ajv.validateSchema(schema) !== true) {
    return `${where}.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12).`
  }
  return null
}

/** Gemini, by what its documentation says of a FunctionDeclaration. `at` is the declaration's place in the list. */
export function geminiToolProblem(at: number, name: unknown, schema: unknown) {
  const where = `GenerateContentRequest.tools[0].function_declarations[${at}]`
  if (typeof name !== 'string' || !/^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$/.test(name)) {
    return `* ${where}.name: Invalid function name.`
  }
  if (!isObject(schema) || schema.type !== 'object') return `* ${where}: must describe an object`
  const properties = isObject(schema.properties) ? schema.properties : {}
  const odd = Object.keys(properties).find((key) => !/^[a-zA-Z_][a-zA-Z0-9_]{0,63}$/.test(key))
  if (odd !== undefined) return `* ${where}.parameters.properties[${odd}]: Invalid parameter name.`
  for (const { schema: each, path } of subschemasOf(schema)) {
    const place = `${where}.parameters${path.map((segment) => `.${segment}`).join('')}`
    if (isArrayType(each) && each.items === undefined) return `* ${place}.items: missing field.`
    const known = isObject(each.properties) ? each.properties : {}
    const lost = (Array.isArray(each.required) ? each.required : []).find(
      (key) => !Object.hasOwn(known, String(key)),
    )
    if (lost !== undefined) return `* ${place}.required: property ${lost} is not defined`
  }
  return null
}

interface Subschema {
  readonly schema: Schema
  readonly path: readonly string[]
}

const SCHEMAS = [
  'items',
  'contains',
  'not',
  'if',
  'then',
  'else',
  'additionalProperties',
  'propertyNames',
]
const LISTS = ['anyOf', 'oneOf', 'allOf', 'prefixItems']
const MAPS = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas']

function subschemasOf(schema: unknown, path: readonly string[] = []): Subschema[] {
  if (!isObject(schema)) return []
  const inside = Object.entries(schema).flatMap(([keyword, value]) => {
    if (SCHEMAS.includes(keyword)) return subschemasOf(value, [...path, keyword])
    const isOfSchemas = MAPS.includes(keyword) || LISTS.includes(keyword)
    if (!isOfSchemas || typeof value !== 'object' || value === null) return []
    return Object.entries(value).flatMap(([name, each]) =>
      subschemasOf(each, [...path, keyword, name]),
    )
  })
  return [{ schema, path }, ...inside]
}

function isArrayType({ type }: Schema): boolean {
  return type === 'array' || (Array.isArray(type) && type.includes('array'))
}

function hasAny(schema: Schema, keywords: readonly string[]): boolean {
  return keywords.some((keyword) => Object.hasOwn(schema, keyword))
}

function isObject(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
