import type { JsonSchema } from './args.ts'
import { REFERENCES } from './schema-keywords.ts'

/** Of a document, and of the schemas that were looked at for one value. */
const MAX_NODES = 20_000
const MAX_STEPS = 500_000
const LISTS = ['allOf', 'anyOf', 'oneOf']
const BRANCHES = ['if', 'then', 'else', 'not']
const DEPENDENT = ['dependentSchemas', 'dependencies']

type Node = Readonly<Record<string, unknown>>

/** All schemas of a document that may say something about one value: those that do, and those that would in another case. */
export interface Place {
  readonly isMarked: boolean
  /** What stands here is an object or a list, by the word of every schema that says so: a text is not of this schema. */
  readonly isNoText: boolean
  readonly schemas: readonly Node[]
  /** Steps to find the way to a member. */
  readonly weight: number
  /** Items that have a schema of their own; those behind them are alike. */
  readonly ownItems: number
  readonly inside: Map<string | number, Place>
}

export interface MarkedPlaces {
  readonly root: Place
  member(place: Place, name: string): Place
  item(place: Place, index: number): Place
  /** One value more was looked at. */
  spend(): void
}

/** What is not known is treated as a secret. */
const ALL_MARKED: Place = { ...makePlace([]), isMarked: true }

/**
 * Where a schema marks what stands in a value: `"x-secret": true` or `"format": "password"`. Follows the schema to the places
 * of the value, whichever branch of a choice is meant; a schema that is too large, or takes too long to follow, marks all
 * that is left. null: it marks nothing at all.
 *
 * Each set of schemas is one place, and the way from a place to another is found once: the time goes by the size of the
 * value, not by that times the size of the schema.
 */
export function markedPlacesOf(schema: JsonSchema): MarkedPlaces | null {
  const document = readDocument(schema)
  if (!document.hasMarks) return null
  const places = new Map<string, Place>()
  const ids = new Map<Node, number>()
  let steps = document.isWhole ? 0 : MAX_STEPS

  function placeOf(candidates: readonly unknown[]): Place {
    const schemas = new Set<Node>()
    const open = [...candidates]
    while (open.length > 0) {
      const next = open.pop()
      steps += 1
      if (steps >= MAX_STEPS) return ALL_MARKED
      if (!isNode(next) || schemas.has(next)) continue
      schemas.add(next)
      for (const more of besides(next, document)) open.push(more)
    }
    const numbers = [...schemas].map((node) => {
      const id = ids.get(node) ?? ids.size
      ids.set(node, id)
      return id
    })
    const key = numbers.sort((a, b) => a - b).join()
    const known = places.get(key) ?? makePlace([...schemas])
    places.set(key, known)
    return known
  }

  function step(
    place: Place,
    key: string | number,
    schemasOf: (node: Node) => readonly unknown[],
  ): Place {
    if (steps >= MAX_STEPS) return ALL_MARKED
    const known = place.inside.get(key)
    if (known !== undefined) return known
    steps += place.weight
    const made = placeOf(place.schemas.flatMap(schemasOf))
    place.inside.set(key, made)
    return made
  }

  return {
    root: placeOf([schema]),
    member: (place, name) => step(place, name, (node) => ofMember(node, name)),
    item: (place, index) => {
      const at = Math.min(index, place.ownItems)
      return step(place, at, (node) => ofItem(node, at))
    },
    spend: () => {
      steps += 1
    },
  }
}

function makePlace(schemas: readonly Node[]): Place {
  const types = schemas.flatMap(({ type }) => (type === undefined ? [] : [type].flat()))
  return {
    isMarked: schemas.some(isMark),
    isNoText: types.length > 0 && types.every((type) => type === 'object' || type === 'array'),
    schemas,
    weight: schemas.reduce((sum, node) => sum + 1 + patternsOf(node).length, 0),
    ownItems: schemas.reduce((most, node) => Math.max(most, ownItemsOf(node).length), 0),
    inside: new Map(),
  }
}

function isMark(node: Node): boolean {
  return node['x-secret'] === true || node.format === 'password'
}

/** Schemas that may hold for the same value. */
function besides(node: Node, document: Document): unknown[] {
  return [
    ...LISTS.flatMap((key) => listAt(node, key)),
    ...BRANCHES.map((key) => node[key]),
    ...DEPENDENT.flatMap((key) => Object.values(nodeAt(node, key))),
    ...[...REFERENCES].flatMap((key) => document.find(node[key])),
  ]
}

function ofMember(node: Node, name: string): unknown[] {
  const properties = nodeAt(node, 'properties')
  const patterns = patternsOf(node).filter(([pattern]) => mayMatch(pattern, name))
  const named = Object.hasOwn(properties, name) ? [properties[name]] : []
  const rest =
    named.length > 0 || patterns.some(([pattern]) => isPrefix(pattern))
      ? []
      : [node.additionalProperties, node.unevaluatedProperties]
  return [...named, ...patterns.map(([, schema]) => schema), ...rest]
}

function patternsOf(node: Node): [string, unknown][] {
  return Object.entries(nodeAt(node, 'patternProperties'))
}

function ofItem(node: Node, index: number): unknown[] {
  const own = ownItemsOf(node)
  const rest = [node.items, node.additionalItems, node.unevaluatedItems]
  return [node.contains, ...(index < own.length ? [own[index]] : rest)]
}

/** `prefixItems`; of draft-07 the list in `items`. */
function ownItemsOf(node: Node): readonly unknown[] {
  return Array.isArray(node.prefixItems) ? node.prefixItems : listAt(node, 'items')
}

const PREFIX = /^\^([\w-]+)(\$?)$/

function isPrefix(pattern: string): boolean {
  return PREFIX.test(pattern)
}

/** A pattern beyond a plain beginning is not tried, as it could take long: it may match. */
function mayMatch(pattern: string, name: string): boolean {
  const [, beginning, end] = PREFIX.exec(pattern) ?? []
  if (beginning === undefined) return true
  return end === '$' ? name === beginning : name.startsWith(beginning)
}

interface Document {
  readonly hasMarks: boolean
  readonly isWhole: boolean
  /** What a reference may mean: within a schema that has an `$id` it is another than outside. */
  readonly find: (reference: unknown) => readonly unknown[]
}

/** Looks at every member, also where the dialect sees no schema: a reference can make one of anything. */
function readDocument(schema: JsonSchema): Document {
  const seen = new Set<object>()
  const roots: Node[] = [schema]
  const anchors = new Map<string, Node[]>()
  let hasMarks = false
  const open: unknown[] = [schema]
  while (open.length > 0 && seen.size < MAX_NODES) {
    const next = open.pop()
    if (typeof next !== 'object' || next === null || seen.has(next)) continue
    seen.add(next)
    for (const value of Object.values(next)) open.push(value)
    if (!isNode(next)) continue
    hasMarks ||= isMark(next)
    if (typeof next.$id === 'string') roots.push(next)
    for (const name of [next.$anchor, next.$dynamicAnchor, anchorOfId(next.$id)]) {
      if (typeof name === 'string') anchors.set(name, [...(anchors.get(name) ?? []), next])
    }
  }
  const isWhole = open.length === 0
  const found = new Map<string, readonly unknown[]>()
  return {
    hasMarks: hasMarks || !isWhole,
    isWhole,
    find: (reference) => {
      if (typeof reference !== 'string' || !reference.startsWith('#')) return []
      const known = found.get(reference)
      if (known !== undefined) return known
      const path = pathOf(reference)
      const targets =
        path === null
          ? (anchors.get(reference.slice(1)) ?? [])
          : roots.map((root) => valueAt(root, path))
      found.set(reference, targets)
      return targets
    },
  }
}

/** Draft-07 writes an anchor as an `$id`. */
function anchorOfId(id: unknown): string | null {
  return typeof id === 'string' && id.startsWith('#') ? id.slice(1) : null
}

/** Of a JSON pointer in a fragment [RFC 6901 §6]; null: it is the name of an anchor. */
function pathOf(reference: string): string[] | null {
  const fragment = reference.slice(1)
  if (fragment === '') return []
  if (!fragment.startsWith('/')) return null
  const segments = fragment.slice(1).split('/')
  return segments.map((segment) => decoded(segment).replaceAll('~1', '/').replaceAll('~0', '~'))
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function valueAt(root: unknown, path: readonly string[]): unknown {
  let here = root
  for (const name of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, name)) return undefined
    here = Object.getOwnPropertyDescriptor(here, name)?.value
  }
  return here
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function nodeAt(node: Node, key: string): Node {
  const value = node[key]
  return isNode(value) ? value : {}
}

function listAt(node: Node, key: string): readonly unknown[] {
  const value = node[key]
  return Array.isArray(value) ? value : []
}
