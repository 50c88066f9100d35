/** One character of the text, whatever it may be: a literal, a class or `.`. `literal` is set for the first kind. */
export interface Single {
  readonly kind: 'single'
  readonly source: string
  readonly literal: string | null
}

export interface Group {
  readonly kind: 'group'
  readonly branches: readonly (readonly Piece[])[]
  /** It looks and takes nothing. */
  readonly isLookaround: boolean
}

export interface Piece {
  readonly atom: Single | Group
  readonly min: number
  readonly max: number
}

export interface ParsedPattern {
  readonly branches: readonly (readonly Piece[])[]
  /** It can match at the beginning of a text only. */
  readonly isAnchored: boolean
}

/** Reads a regular expression that is known to be valid with the flag `u`. */
export function parsePattern(pattern: string): ParsedPattern {
  const branches = new Parser(pattern).choice()
  return { branches, isAnchored: branches.length === 1 && pattern.startsWith('^') }
}

const OPENING = /\((?:\?(?:<[^=!>][^>]*>|<?[=!]|[a-z-]*:))?/y
const ESCAPE = /\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[A-Za-z]|.)/suy
const CLASS = /\[(?:\\.|[^\\\]])*\]/suy
const COUNT = /(?:[*+?]|\{(\d+)(,(\d*))?\})\??/y
const ANY = /./suy

/** Assertions take no character, so they are left out, and so is what may not occur. */
class Parser {
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
      if (atom !== null && count.max > 0) branches.at(-1)?.push({ atom, ...count })
    }
    return branches
  }

  #atom(): Single | Group | null {
    const opening = this.#take(OPENING)
    if (opening !== null) {
      const branches = this.choice()
      this.#at += 1
      return { kind: 'group', branches, isLookaround: /[=!]$/.test(opening[0]) }
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
