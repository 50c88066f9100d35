/** Strings whole, punctuation one by one, everything else (numbers, literals) in one piece. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g

/**
 * The text of the member `data` of a body, as it was written: with its numbers beyond a double's precision, and its keys in
 * their order, which `JSON.parse` does not keep where they look like numbers. '' where there is none.
 *
 * @param body a JSON object that was parsed before
 */
export function exactData(body: string): string {
  let depth = 0
  let key = ''
  let startsAt = -1
  let found = ''
  for (const { 0: token, index } of body.matchAll(TOKEN)) {
    const isEnd = token === '}' || token === ']'
    if (isEnd) depth -= 1
    const endsValue = depth === 0 || (depth === 1 && token === ',')
    if (endsValue && startsAt >= 0) {
      // Of a member that comes twice the last one counts, as in `JSON.parse`.
      found = body.slice(startsAt, index).trim()
      startsAt = -1
    }
    if (depth === 1 && token === ':' && key === 'data') startsAt = index + 1
    if (depth === 1 && token.startsWith('"') && startsAt < 0) key = JSON.parse(token)
    if (token === '{' || token === '[') depth += 1
  }
  return found
}
