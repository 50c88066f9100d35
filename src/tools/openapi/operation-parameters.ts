import { headerProblem } from '../../core/header.ts'
import { isStyleOf, type ToolParameter } from '../parameter.ts'
import type { Converter } from './convert-schema.ts'
import { isJsonType, mediaOf } from './media.ts'
import { memberOf, type Node, textOf } from './node.ts'
import type { Operation } from './operation.ts'
import { plainText } from './plain-text.ts'
import { Unusable } from './unusable.ts'

const MAX_ARG_LENGTH = 64
const PLACES = ['path', 'query', 'header', 'cookie'] as const
type Place = (typeof PLACES)[number]
/** What a document may not say of them: they are parts of HTTP, or ours. [OpenAPI 3.1 §4.8.12.1] */
const OWN_HEADERS = [
  'accept',
  'content-type',
  'authorization',
  'user-agent',
  'idempotency-key',
  'content-length',
  'host',
]

export interface Argument {
  readonly parameter: ToolParameter
  readonly schema: Node | boolean
  readonly isRequired: boolean
}

interface ParametersOptions {
  readonly converter: Converter
  /** Whether it is a credential, which the integration has. */
  readonly isSecret: (place: string, name: string) => boolean
  readonly warn: (text: string) => void
}

/**
 * The arguments that go into path, query, headers and cookies. Of two with one name, the one of the path keeps it.
 *
 * @throws Unusable for one that is required and cannot be sent
 */
export function operationParameters(operation: Operation, options: ParametersOptions): Argument[] {
  const { parameters, path } = operation
  const inPath = [...path.matchAll(/\{([^{}/]+)\}/g)].map(([, name = '']) => name)
  const given = parameters.flatMap((node) => {
    const place = PLACES.find((one) => one === node.in)
    const name = textOf(node, 'name')
    if (place === undefined || name === '') return []
    if (place === 'path' && !inPath.includes(name)) {
      options.warn(`the path has no {${name}}, so that parameter is left out`)
      return []
    }
    return isArgument(place, name, node, options) ? [{ place, name, node }] : []
  })
  const undefinedOnes = [...new Set(inPath)]
    .filter((name) => !given.some((one) => one.place === 'path' && one.name === name))
    .map((name) => {
      options.warn(`the document does not describe {${name}} of the path: it is taken as a text`)
      return { place: 'path' as const, name, node: { schema: { type: 'string' } } }
    })
  const taken = new Set<string>()
  return [...given, ...undefinedOnes]
    .toSorted((a, b) => PLACES.indexOf(a.place) - PLACES.indexOf(b.place))
    .map(({ place, name, node }) => toArgument(place, name, node, taken, options.converter))
}

function isArgument(place: Place, name: string, node: Node, options: ParametersOptions): boolean {
  if (options.isSecret(place, name)) return false
  if (place !== 'header') return true
  if (OWN_HEADERS.includes(name.toLowerCase())) return false
  const problem = headerProblem(name, 'x')
  if (problem === null) return true
  if (node.required === true) throw new Unusable(`requires the header ${name}, which ${problem}`)
  options.warn(`the header ${name.slice(0, 100)} ${problem}, and is left out`)
  return false
}

function toArgument(
  place: Place,
  name: string,
  node: Node,
  taken: Set<string>,
  converter: Converter,
): Argument {
  const arg = argName(name, place, taken)
  taken.add(arg)
  const [media] = mediaOf(node)
  if (media !== undefined && !isJsonType(media.type)) {
    throw new Unusable(`has the parameter ${name}, which is ${media.type.slice(0, 100)}`)
  }
  const schema = converter.convert(media?.node.schema ?? node.schema ?? {}, 1)
  const description = plainText(textOf(node, 'description'), 512)
  return {
    parameter: { arg, in: place, name, ...howOf(place, node, media !== undefined) },
    schema: description === '' || typeof schema === 'boolean' ? schema : { ...schema, description },
    isRequired: place === 'path' || node.required === true,
  }
}

/** Only what differs from what goes without saying. */
function howOf(place: Place, node: Node, isJson: boolean) {
  if (isJson) return { json: true }
  const given = textOf(node, 'style')
  const base = place === 'query' || place === 'cookie' ? 'form' : 'simple'
  const style = isStyleOf(place, given) ? given : base
  const explode = memberOf(node, 'explode')
  return {
    ...(style === base ? {} : { style }),
    ...(typeof explode === 'boolean' && explode !== (style === 'form') ? { explode } : {}),
    ...(place === 'query' && node.allowReserved === true ? { allowReserved: true } : {}),
  }
}

/** As every model API lets an argument be named. */
function argName(name: string, place: Place, taken: ReadonlySet<string>): string {
  const plain = name.replace(/[^A-Za-z0-9_-]+/g, '_').replace(/^_+|_+$/g, '')
  const base = /^[A-Za-z]/.test(plain) ? plain : `arg_${plain}`
  for (let number = 0; ; number += 1) {
    const suffix = number === 0 ? '' : number === 1 ? `_${place}` : `_${place}_${number}`
    const arg = base.slice(0, MAX_ARG_LENGTH - suffix.length) + suffix
    if (!taken.has(arg)) return arg
  }
}
