/** An object of a document; its members are whatever somebody wrote there. */
export type Node = Readonly<Record<string, unknown>>

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A member that is the object's own: a document may name one `constructor`. */
export function memberOf(node: unknown, name: string): unknown {
  return isNode(node) && Object.hasOwn(node, name) ? node[name] : undefined
}

export function nodeOf(node: unknown, name: string): Node {
  const member = memberOf(node, name)
  return isNode(member) ? member : {}
}

export function listOf(node: unknown, name: string): readonly unknown[] {
  const member = memberOf(node, name)
  return Array.isArray(member) ? member : []
}

export function textOf(node: unknown, name: string): string {
  const member = memberOf(node, name)
  return typeof member === 'string' ? member : ''
}
