const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const PLAIN = new Set(['string', 'integer', 'boolean'])
const KEY = 'x-mcp-header'

/**
 * Why the arguments that a schema wants in headers too cannot go there, or null. A tool with such a schema is not to be
 * used. [MCP 2026-07-28, Streamable HTTP, `x-mcp-header`]
 */
export function headerArgumentProblem(schema: unknown): string | null {
  return look(schema, false, true, new Set())
}

function look(
  node: unknown,
  isProperty: boolean,
  isReachable: boolean,
  names: Set<string>,
): string | null {
  if (typeof node !== 'object' || node === null) return null
  if (!Array.isArray(node) && Object.hasOwn(node, KEY)) {
    const problem = declarationProblem({ ...node }, isProperty && isReachable, names)
    if (problem !== null) return problem
  }
  for (const [key, value] of Object.entries(node)) {
    const isMap = key === 'properties' && typeof value === 'object' && value !== null
    const inside = isMap ? Object.values(value) : [value]
    for (const each of inside) {
      const problem = look(each, isMap, isReachable && isMap, names)
      if (problem !== null) return problem
    }
  }
  return null
}

function declarationProblem(
  { [KEY]: name, type }: Readonly<Record<string, unknown>>,
  mayBeHere: boolean,
  names: Set<string>,
): string | null {
  if (!mayBeHere) return `${KEY} stands where no argument is`
  if (typeof name !== 'string' || !TOKEN.test(name)) return `${KEY} is no name of a header`
  if (typeof type !== 'string' || !PLAIN.has(type)) {
    return `${KEY} is of an argument that is no string, integer or boolean`
  }
  if (names.has(name.toLowerCase())) return `${KEY} names a header twice`
  names.add(name.toLowerCase())
  return null
}
