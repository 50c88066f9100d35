import { isNode, type Node } from './node.ts'
import { Unusable } from './unusable.ts'

const MAX_HOPS = 20

/** Follows references within one document. Nothing is ever fetched or read from elsewhere. */
export function makeFollow(document: Node) {
  /** @throws Unusable for what is outside of the document, or not there */
  function find(reference: string): unknown {
    const shown = reference.slice(0, 200)
    if (!reference.startsWith('#')) {
      throw new Unusable(`refers to ${shown}, which is outside of the document: bundle it first`)
    }
    let found: unknown = document
    for (const segment of segmentsOf(reference)) {
      if (typeof found !== 'object' || found === null || !Object.hasOwn(found, segment)) {
        throw new Unusable(`refers to ${shown}, which the document does not have`)
      }
      found = Reflect.get(found, segment)
    }
    return found
  }

  /** The last one of a chain of references, what that refers to, and what stands beside any of them. */
  function lastOf({ $ref, ...own }: Node & { readonly $ref: string }) {
    let reference = $ref
    let beside: Node = own
    for (let hops = 0; hops < MAX_HOPS; hops += 1) {
      const target = find(reference)
      if (!isNode(target) || typeof target.$ref !== 'string') return { reference, target, beside }
      const { $ref: _, ...more } = target
      reference = target.$ref
      beside = { ...more, ...beside }
    }
    throw new Unusable(`refers to ${$ref.slice(0, 200)}, which refers back to itself`)
  }

  /** The object itself, or the one that it refers to, with what stands beside the reference. */
  function follow(value: unknown): Node {
    if (!isNode(value)) return {}
    if (!isReference(value)) return value
    const { target, beside } = lastOf(value)
    return { ...(isNode(target) ? target : {}), ...beside }
  }

  return { find, lastOf, follow }
}
export type Follow = ReturnType<typeof makeFollow>

export function isReference(node: Node): node is Node & { readonly $ref: string } {
  return typeof node.$ref === 'string'
}

/** Of a JSON pointer in a URI fragment. [RFC 6901 §6] */
export function segmentsOf(reference: string): string[] {
  return reference
    .slice(1)
    .split('/')
    .slice(1)
    .map((segment) => decode(segment).replaceAll('~1', '/').replaceAll('~0', '~'))
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
