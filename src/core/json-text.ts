/** Strings whole, punctuation one by one, everything else (numbers, literals) in one piece. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g

export interface JsonMember {
  readonly name: string
  /** The value, as it is written. */
  readonly value: string
  /** Name and value, as they are written. */
  readonly text: string
}

/**
 * The members of a JSON object as they are written: with numbers beyond a double's precision, and keys in their order, which
 * `JSON.parse` does not keep where they look like numbers.
 *
 * @param object the text of a JSON object that was parsed before
 */
export function membersOf(object: string): JsonMember[] {
  const members: JsonMember[] = []
  let depth = 0
  let name = ''
  let nameAt = -1
  let valueAt = -1
  for (const { 0: token, index } of object.matchAll(TOKEN)) {
    if (token === '}' || token === ']') depth -= 1
    const endsMember = depth === 0 || (depth === 1 && token === ',')
    if (endsMember && valueAt >= 0) {
      const value = object.slice(valueAt, index).trim()
      members.push({ name, value, text: object.slice(nameAt, index).trim() })
      valueAt = -1
    }
    if (depth === 1 && valueAt < 0 && token.startsWith('"')) {
      name = JSON.parse(token)
      nameAt = index
    }
    if (depth === 1 && token === ':') valueAt = index + 1
    if (token === '{' || token === '[') depth += 1
  }
  return members
}
