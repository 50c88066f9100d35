/** Above what any schema or arguments may have (64 levels) and far below what a recursive reader can run out of stack on. */
const MAX_DEPTH = 100

const QUOTE = 34
const COLON = 58
const OPEN_LIST = 91
const BACKSLASH = 92
const CLOSE_LIST = 93
const OPEN_OBJECT = 123
const CLOSE_OBJECT = 125

/**
 * Why a JSON text is not even parsed, or null. One pass over the text, before anything recursive sees it. Says nothing about
 * whether it is JSON.
 */
export function jsonBoundsProblem(text: string, maxMembers: number): string | null {
  let depth = 0
  let members = 0
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at)
        break
      case OPEN_LIST:
      case OPEN_OBJECT:
        depth += 1
        if (depth > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH} levels`
        break
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        depth -= 1
        break
      case COLON:
        members += 1
        if (members > maxMembers) return `has more than ${maxMembers} members`
    }
  }
  return null
}

/** Where the string that begins here ends: at its quote, or at the end of the text. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) return at
    at += code === BACKSLASH ? 2 : 1
  }
  return at
}
