import type { ToolPayload } from '../payload.ts'
import type { Converter } from './convert-schema.ts'
import { isJsonType, type Media, mediaOf } from './media.ts'
import { isNode, memberOf, type Node, nodeOf, textOf } from './node.ts'
import type { Operation } from './operation.ts'
import { requiredOf } from './plain-keywords.ts'
import { plainText } from './plain-text.ts'
import type { Follow } from './reference.ts'
import { Unusable } from './unusable.ts'

/** As Anthropic's API lets an argument be named; no other is stricter. */
const ARG_NAME = /^[A-Za-z0-9_.-]{1,64}$/
const FORMS = ['application/x-www-form-urlencoded', 'multipart/form-data']
/** What a schema may have whose properties are arguments themselves. */
const FLAT = new Set([
  'type',
  'properties',
  'required',
  'additionalProperties',
  'title',
  'description',
  'example',
  'examples',
  'default',
  'deprecated',
  'externalDocs',
  'xml',
  'readOnly',
  'writeOnly',
])

export interface OperationBody {
  readonly payload: ToolPayload
  /** Arguments by name. */
  readonly properties: Readonly<Record<string, Node | boolean>>
  readonly required: readonly string[]
  readonly additionalProperties: Node | boolean
}

interface BodyOptions {
  readonly follow: Follow
  readonly converter: Converter
  /** Names of arguments that go elsewhere. */
  readonly taken: ReadonlySet<string>
  readonly warn: (text: string) => void
}

/**
 * The arguments that are the body: the properties of a plain object beside the other ones, anything else as one argument `body`.
 * null: there is none.
 *
 * @throws Unusable for one that is required and cannot be sent
 */
export function operationBody(operation: Operation, options: BodyOptions): OperationBody | null {
  const holder = options.follow.follow(operation.node.requestBody)
  const media = mediaOf(holder)
  const [best] = media
  if (best === undefined) return null
  const schema = options.follow.follow(best.node.schema)
  const isForm = FORMS.includes(best.type)
  // Swagger 2.0 has fields that are required, and no word for their form.
  const isRequired = holder.required === true || (isForm && requiredOf(schema).length > 0)
  const problem = bodyProblem(operation, media)
  if (problem !== null) {
    if (isRequired) throw new Unusable(problem)
    options.warn(`${problem}; it is not required, and is left out`)
    return null
  }
  if (isForm) assertForm(schema)
  const shown = isForm ? withoutFiles(schema, options) : schema
  const encoding = isForm ? { encoding: encodingOf(best, shown) } : {}
  const how = isRequired ? encoding : { ...encoding, isOptional: true }
  if (best.type !== 'text/plain' && isFlat(shown, isRequired, options)) {
    return flatBody(shown, { mediaType: best.type, ...how }, options)
  }
  const arg = freeArg(options.taken)
  const given =
    best.type === 'text/plain' ? { type: 'string' } : isForm ? shown : (best.node.schema ?? {})
  return {
    payload: { mediaType: best.type, arg, ...how },
    properties: { [arg]: described(options.converter.convert(given, 1), holder) },
    required: isRequired ? [arg] : [],
    additionalProperties: false,
  }
}

function bodyProblem({ method }: Operation, media: readonly Media[]): string | null {
  if (method === 'GET') return 'has a body, which GET does not send'
  const [best] = media
  const type = best?.type ?? ''
  if (isJsonType(type) || FORMS.includes(type) || type === 'text/plain') return null
  const types = media.map((one) => one.type).join(', ')
  return `has a body of ${types.slice(0, 200)}: only JSON, forms and plain text are sent`
}

/** Whether its properties can be arguments themselves, next to those that are there. */
function isFlat(schema: Node, isRequired: boolean, { taken, converter }: BodyOptions): boolean {
  const { type, properties } = schema
  const isObject = type === 'object' || (type === undefined && isNode(properties))
  if (!isObject || !isNode(properties)) return false
  if (!Object.keys(schema).every((key) => FLAT.has(key) || key.startsWith('x-'))) return false
  const shown = Object.keys(properties).filter((name) => !converter.isHidden(properties[name]))
  if (shown.length === 0 || !shown.every((name) => ARG_NAME.test(name) && !taken.has(name))) {
    return false
  }
  // Arguments that a body needs are not needed by a call without one.
  return isRequired || requiredOf(schema).length === 0
}

function flatBody(schema: Node, payload: ToolPayload, { converter }: BodyOptions): OperationBody {
  const { properties, required } = converter.convertRoot(schema)
  const others = memberOf(schema, 'additionalProperties')
  return {
    payload,
    properties: Object.fromEntries(
      Object.entries(isNode(properties) ? properties : {}).filter(
        (entry): entry is [string, Node | boolean] =>
          isNode(entry[1]) || typeof entry[1] === 'boolean',
      ),
    ),
    required: Array.isArray(required) ? required : [],
    additionalProperties: others === true || isNode(others) ? converter.convert(others, 1) : false,
  }
}

function assertForm(schema: Node): void {
  if (isNode(schema.properties) || schema.type === 'object') return
  throw new Unusable('has a form whose fields the document does not name')
}

/** @throws Unusable where one of them is required */
function withoutFiles(schema: Node, { follow, warn }: BodyOptions): Node {
  const properties = Object.entries(nodeOf(schema, 'properties'))
  const files = properties.filter(([, value]) => isFile(value, follow.follow)).map(([name]) => name)
  if (files.length === 0) return schema
  const needed = requiredOf(schema).find((name) => files.includes(name))
  if (needed !== undefined)
    throw new Unusable(`takes a file (${needed.slice(0, 100)}), which tools cannot send`)
  warn(`files cannot be sent: ${files.join(', ').slice(0, 200)} left out`)
  const rest = properties.filter(([name]) => !files.includes(name))
  return { ...schema, properties: Object.fromEntries(rest) }
}

function isFile(given: unknown, follow: Follow['follow']): boolean {
  const schema = follow(given)
  if (schema.type === 'array') return isNode(schema.items) && isFile(schema.items, follow)
  if (schema.format === 'binary' || schema.type === 'file') return true
  return schema.type === undefined && schema.contentMediaType === 'application/octet-stream'
}

function encodingOf({ node }: Media, schema: Node): NonNullable<ToolPayload['encoding']> {
  const given = nodeOf(node, 'encoding')
  const fields = Object.keys(nodeOf(schema, 'properties')).flatMap((name) => {
    const { style, explode } = nodeOf(given, name)
    const isJson = isJsonType(
      textOf(nodeOf(given, name), 'contentType').split(';')[0]?.trim() ?? '',
    )
    const how = {
      ...(isStyle(style) ? { style } : {}),
      ...(typeof explode === 'boolean' ? { explode } : {}),
      ...(isJson && style === undefined ? { json: true } : {}),
    }
    return Object.keys(how).length === 0 ? [] : [[name, how] as const]
  })
  return Object.fromEntries(fields)
}

function isStyle(
  style: unknown,
): style is 'form' | 'spaceDelimited' | 'pipeDelimited' | 'deepObject' {
  return ['form', 'spaceDelimited', 'pipeDelimited', 'deepObject'].some((one) => one === style)
}

function described(schema: Node | boolean, holder: Node): Node | boolean {
  const description = plainText(textOf(holder, 'description'), 512)
  if (typeof schema === 'boolean' || description === '' || 'description' in schema) return schema
  return { ...schema, description }
}

function freeArg(taken: ReadonlySet<string>): string {
  for (let number = 1; ; number += 1) {
    const arg = number === 1 ? 'body' : `body_${number}`
    if (!taken.has(arg)) return arg
  }
}
