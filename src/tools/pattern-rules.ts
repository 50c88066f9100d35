const MAX_LENGTH = 500
const MAX_COUNT = 1000

/** One character of the text, whatever it may be: a literal, a class or `.`. `literal` is set for the first kind. */
interface Single {
  readonly kind: 'single'
  readonly source: string
  readonly literal: string | null
}
interface Group {
  readonly kind: 'group'
  readonly branches: readonly (readonly Piece[])[]
}
interface Piece {
  readonly atom: Single | Group
  readonly min: number
  readonly max: number
}

/**
 * Why a regular expression of a stranger could keep a backtracking matcher busy, or null.
 *
 * Conservative: a repeated group may have a choice only where the first character decides it, and a repetition inside only
 * where a literal first character, found nowhere else in the group, says where each round begins (`[a-z]+(-[a-z]+)*`).
 * Then no text can be divided into rounds in two ways, which is what makes a match exponential.
 */
export function patternProblem(pattern: string): string | null {
  if (pattern.length > MAX_LENGTH) return `is over ${MAX_LENGTH} characters`
  try {
    // As JSON Schema wants it. What follows may rely on the pattern being one.
    new RegExp(pattern, 'u')
  } catch {
    return 'is not a regular expression'
  }
  if (/(?<!\\)(?:\\\\)*\\(?:[1-9]|k<)/.test(pattern)) return 'refers back to a group'
  if (/\(\?[a-z-]+:/.test(pattern)) return 'changes its flags on the way'
  const parser = new Parser(pattern)
  const branches = parser.choice()
  if (parser.isCountTooHigh) return `repeats more than ${MAX_COUNT} times`
  return branches.every((branch) => branch.every(isSafe)) ? null : 'repeats a repetition'
}

function isSafe({ atom, max }: Piece): boolean {
  if (atom.kind === 'single') return true
  const isRepeated = max > 1
  if (isRepeated && !isDecided(atom)) return false
  return atom.branches.every((branch) => branch.every(isSafe))
}

/** Whether a repeated group can match a given text in one way only. */
function isDecided({ branches }: Group): boolean {
  if (branches.length > 1) {
    const firsts = branches.map((branch) => branch[0])
    return (
      branches.every((branch) => !branch.some(varies)) &&
      firsts.every((first, at) => firsts.slice(at + 1).every((other) => areApart(first, other)))
    )
  }
  const [pieces = []] = branches
  if (!pieces.some(varies)) return true
  const [first, ...rest] = pieces
  if (first === undefined || varies(first) || first.atom.kind === 'group') return false
  const { literal } = first.atom
  return literal !== null && !rest.some((piece) => canMatch(piece.atom, literal))
}

/** Whether the piece, or anything in it, matches texts of different lengths or has a choice. */
function varies({ atom, min, max }: Piece): boolean {
  if (min !== max) return true
  return atom.kind === 'group' && (atom.branches.length > 1 || atom.branches.flat().some(varies))
}

function areApart(a: Piece | undefined, b: Piece | undefined): boolean {
  if (a?.atom.kind !== 'single' || b?.atom.kind !== 'single') return false
  if (a.atom.literal !== null) return !canMatch(b.atom, a.atom.literal)
  return b.atom.literal !== null && !canMatch(a.atom, b.atom.literal)
}

function canMatch(atom: Single | Group, character: string): boolean {
  return atom.kind === 'group'
    ? atom.branches.flat().some((piece) => canMatch(piece.atom, character))
    : new RegExp(`^${atom.source}$`, 'u').test(character)
}

const OPENING = /\((?:\?(?:<[^=!>][^>]*>|<?[=!]|[a-z-]*:))?/y
const ESCAPE = /\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[A-Za-z]|.)/suy
const CLASS = /\[(?:\\.|[^\\\]])*\]/suy
const COUNT = /(?:[*+?]|\{(\d+)(,(\d*))?\})\??/y
const ANY = /./suy

/** Reads a pattern that is known to be valid. Assertions take no character, so they are left out. */
class Parser {
  isCountTooHigh = false
  #at = 0
  readonly #pattern: string

  constructor(pattern: string) {
    this.#pattern = pattern
  }

  choice(): Piece[][] {
    const branches: Piece[][] = [[]]
    while (this.#at < this.#pattern.length && this.#pattern[this.#at] !== ')') {
      if (this.#pattern[this.#at] === '|') {
        this.#at += 1
        branches.push([])
        continue
      }
      const atom = this.#atom()
      const count = this.#count()
      if (atom !== null) branches.at(-1)?.push({ atom, ...count })
    }
    return branches
  }

  #atom(): Single | Group | null {
    if (this.#take(OPENING) !== null) {
      const branches = this.choice()
      this.#at += 1
      return { kind: 'group', branches }
    }
    const set = this.#take(CLASS)
    if (set !== null) return { kind: 'single', source: set[0], literal: null }
    const escaped = this.#take(ESCAPE)
    if (escaped !== null) return toEscape(escaped[0])
    const [source] = this.#take(ANY) ?? ['']
    if (source === '^' || source === '$') return null
    const literal = source === '.' ? null : source
    return { kind: 'single', source, literal }
  }

  #count(): { min: number; max: number } {
    const found = this.#take(COUNT)
    if (found === null) return { min: 1, max: 1 }
    const [text, least, range, most] = found
    if (least === undefined) {
      return { min: text.startsWith('+') ? 1 : 0, max: text.startsWith('?') ? 1 : Infinity }
    }
    const min = Number(least)
    const max = range === undefined ? min : most === '' ? Infinity : Number(most)
    if (min > MAX_COUNT || (max > MAX_COUNT && max !== Infinity)) this.isCountTooHigh = true
    return { min, max }
  }

  #take(token: RegExp): RegExpExecArray | null {
    token.lastIndex = this.#at
    const found = token.exec(this.#pattern)
    if (found !== null) this.#at += found[0].length
    return found
  }
}

function toEscape(source: string): Single | null {
  if (/^\\[bB]$/.test(source)) return null
  const isSyntax = /^\\[\^$\\.*+?()[\]{}|/-]$/.test(source)
  return { kind: 'single', source, literal: isSyntax ? source.slice(1) : null }
}
