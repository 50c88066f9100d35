import { isNode, listOf, memberOf, type Node, nodeOf, textOf } from './node.ts'
import type { Follow } from './reference.ts'
import { Unusable } from './unusable.ts'

const CALLABLE = new Set(['get', 'post', 'put', 'patch', 'delete'])
const OTHERS = new Set(['options', 'head', 'trace', 'query'])

/** An operation of a document, with what its path and the document say for it. */
export interface Operation {
  /** What it is called in every verdict: `GET /pets/{id}`. */
  readonly key: string
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly operationId: string | null
  readonly node: Node
  /** Its own, then those of its path that it does not replace; references followed. */
  readonly parameters: readonly Node[]
  /** The nearest: its own, its path's, or the document's. */
  readonly servers: { readonly list: readonly unknown[]; readonly isOwn: boolean }
  readonly security: unknown
  /** Whether the document wants it to be a tool; undefined: it does not say. */
  readonly isWanted: boolean | undefined
}

export type FoundOperation =
  | { readonly kind: 'operation'; readonly operation: Operation }
  | { readonly kind: 'unusable'; readonly key: string; readonly reason: string }

/** Every operation of a document, in its order, also those that cannot be called. */
export function listOperations(document: Node, { follow }: Follow): FoundOperation[] {
  return Object.entries(nodeOf(document, 'paths')).flatMap(([path, given]): FoundOperation[] => {
    if (path.startsWith('x-')) return []
    if (!path.startsWith('/')) return [{ kind: 'unusable', key: path, reason: NO_PATH }]
    try {
      const item = follow(given)
      return Object.entries(item).flatMap(([method, node]) =>
        judgeMember({ document, item, path, method, node }, follow),
      )
    } catch (error) {
      return [unusable(path, error)]
    }
  })
}

const NO_PATH = 'is no path: it does not begin with a slash'

interface Member {
  readonly document: Node
  readonly item: Node
  readonly path: string
  readonly method: string
  readonly node: unknown
}

function judgeMember(member: Member, follow: Follow['follow']): FoundOperation[] {
  const { path, method, node } = member
  if (method === 'additionalOperations' && isNode(node)) {
    return Object.keys(node).map((name) => notCalled(`${name.toUpperCase()} ${path}`, name))
  }
  const key = `${method.toUpperCase()} ${path}`
  if (OTHERS.has(method)) return [notCalled(key, method)]
  if (!CALLABLE.has(method)) return []
  if (!isNode(node)) return [{ kind: 'unusable', key, reason: 'is empty' }]
  try {
    return [{ kind: 'operation', operation: toOperation(key, member, node, follow) }]
  } catch (error) {
    return [unusable(key, error)]
  }
}

function toOperation(
  key: string,
  { document, item, path, method }: Member,
  node: Node,
  follow: Follow['follow'],
): Operation {
  const own = listOf(node, 'parameters').map(follow)
  const inherited = listOf(item, 'parameters').map(follow)
  const isReplaced = (one: Node) =>
    own.some((other) => other.name === one.name && other.in === one.in)
  const nearest = [node, item].find((place) => listOf(place, 'servers').length > 0)
  const marks = [node, item, document].map((place) => memberOf(place, 'x-mcp'))
  const mark = marks.find((value) => typeof value === 'boolean')
  return {
    key,
    method: METHODS[method] ?? 'GET',
    path,
    operationId: textOf(node, 'operationId').trim() || null,
    node,
    parameters: [...own, ...inherited.filter((one) => !isReplaced(one))],
    servers: { list: listOf(nearest ?? document, 'servers'), isOwn: nearest !== undefined },
    security: memberOf(node, 'security') ?? memberOf(document, 'security'),
    isWanted: mark,
  }
}

const METHODS: Readonly<Record<string, Operation['method']>> = {
  get: 'GET',
  post: 'POST',
  put: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
}

function notCalled(key: string, method: string): FoundOperation {
  const reason = `${method.toUpperCase()} is no method that tools are called with`
  return { kind: 'unusable', key, reason }
}

function unusable(key: string, error: unknown): FoundOperation {
  if (error instanceof Unusable) return { kind: 'unusable', key, reason: error.message }
  throw error
}
