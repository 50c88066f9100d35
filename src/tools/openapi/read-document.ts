import { createHash } from 'node:crypto'
import { normalize, upgrade } from '@scalar/openapi-parser'
import { isNode, memberOf, type Node, nodeOf, textOf } from './node.ts'

/** Objects and lists, and characters of texts; what an alias of YAML stands for counts as often as it is used. */
const MAX_NODES = 500_000
const MAX_LENGTH = 16_777_216
const MAX_DEPTH = 100

export interface ReadDocument {
  readonly kind: 'document'
  /** OpenAPI 3.1 or 3.2. */
  readonly document: Node
  readonly title: string
  /** As it came: `2.0`, `3.0.3` */
  readonly version: string
  /** Of what it says: the same in JSON and in YAML. */
  readonly hash: string
}

export interface RefusedDocument {
  readonly kind: 'refused'
  readonly message: string
}

/**
 * An OpenAPI document in the form that everything else reads: Swagger 2.0 and OpenAPI 3.0 are brought up to 3.1.
 *
 * @param given the document, or its text in JSON or YAML
 */
export function readDocument(given: unknown): ReadDocument | RefusedDocument {
  let parsed: unknown
  try {
    parsed = typeof given === 'string' ? normalize(given) : given
  } catch (error) {
    return refused(`is neither JSON nor YAML: ${reasonOf(error)}`)
  }
  if (!isNode(parsed)) return refused('is no OpenAPI document, and no text of one in JSON or YAML')
  const bounds = boundsProblem(parsed)
  if (bounds !== null) return refused(bounds)
  // What YAML has once and uses in many places is many things from here on; and no reader changes what it was given.
  const text = JSON.stringify(parsed)
  const version = versionOf(parsed)
  if (version === null) {
    return refused('must say which version it is of: swagger "2.0", or openapi "3.…"')
  }
  // Of a file that is cut, or of something else, every tool would be gone.
  if (!isNode(memberOf(parsed, 'paths'))) return refused('has no paths: there is nothing to import')
  const hash = createHash('sha256').update(text).digest('hex')
  const document = upgraded(JSON.parse(text), version)
  if (document.kind === 'refused') return document
  const title = textOf(nodeOf(parsed, 'info'), 'title').slice(0, 200)
  return { ...document, title, version, hash }
}

function upgraded(
  document: Record<string, unknown>,
  version: string,
): { readonly kind: 'document'; readonly document: Node } | RefusedDocument {
  // YAML reads a version that nobody quoted as a number.
  if (version === '2.0') {
    document.swagger = version
    document.paths = tidyPaths(document)
  } else document.openapi = version
  try {
    const { specification } = upgrade(document)
    if (isNode(specification)) return { kind: 'document', document: specification }
  } catch (error) {
    return refused(`cannot be brought from version ${version} up to 3.1: ${reasonOf(error)}`)
  }
  return refused(`cannot be brought from version ${version} up to 3.1`)
}

/**
 * Paths as the upgrade can read them all: a body in the parameters of a path belongs to all of its operations, wherever it
 * stands, so it stands first; and one that is referred to stands there itself.
 */
function tidyPaths({ paths, parameters: shared }: Node): unknown {
  if (!isNode(paths)) return {}
  const withBodies = (list: readonly unknown[]) =>
    list.map((one) => structuredClone(bodyOf(one, shared)))
  const tidy = (node: Node) => ({
    ...node,
    ...(Array.isArray(node.parameters) ? { parameters: withBodies(node.parameters) } : {}),
  })
  return Object.fromEntries(
    Object.entries(paths).map(([path, given]) => {
      if (!isNode(given)) return [path, {}]
      const { parameters, ...item } = tidy(given)
      const operations = Object.entries(item).flatMap(([key, value]) =>
        isNode(value) && !key.startsWith('x-') ? [[key, tidy(value)] as const] : [],
      )
      const kept = Object.entries(item).filter(([key]) => key === '$ref' || key === 'x-mcp')
      const first = parameters === undefined ? [] : [['parameters', parameters] as const]
      return [path, Object.fromEntries([...first, ...operations, ...kept])]
    }),
  )
}

const SHARED = '#/parameters/'

/** The parameter itself, or the body or field of a form that it refers to. */
function bodyOf(parameter: unknown, shared: unknown): unknown {
  const reference = textOf(parameter, '$ref')
  if (!reference.startsWith(SHARED)) return parameter
  const found = memberOf(shared, reference.slice(SHARED.length))
  return ['body', 'formData'].includes(textOf(found, 'in')) ? found : parameter
}

function versionOf(document: Node): string | null {
  const swagger = memberOf(document, 'swagger')
  if (swagger === '2.0' || swagger === 2) return '2.0'
  const openapi = memberOf(document, 'openapi')
  if (openapi === 3) return '3.0'
  const version = typeof openapi === 'number' ? String(openapi) : openapi
  return typeof version === 'string' && /^3\.[0-2](?:\.[\w.-]{1,20})?$/.test(version)
    ? version
    : null
}

function boundsProblem(root: object): string | null {
  let nodes = 0
  let length = 0
  const open: [node: object, depth: number][] = [[root, 1]]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [node, depth] = next
    nodes += 1
    if (nodes > MAX_NODES) return `has more than ${MAX_NODES} objects and lists`
    if (depth > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH} levels`
    for (const [key, member] of Object.entries(node)) {
      length += key.length + (typeof member === 'string' ? member.length : 0)
      if (typeof member === 'object' && member !== null) open.push([member, depth + 1])
    }
    if (length > MAX_LENGTH) return `has more than ${MAX_LENGTH} characters of text`
  }
  return null
}

function refused(message: string): RefusedDocument {
  return { kind: 'refused', message }
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : 'not readable').slice(0, 300).toWellFormed()
}
