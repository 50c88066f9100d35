import { patternCost } from './pattern-cost.ts'
import { type Piece, parsePattern } from './pattern-parser.ts'

const MAX_LENGTH = 500
const MAX_COUNT = 1000
/** Of all characters that a pattern stands for, counts multiplied out: a matcher is built of them all, and that takes time. */
const MAX_SIZE = 2000
/** A class by Unicode property is hundreds of ranges. */
const PROPERTY_SIZE = 10
/** Steps of a matcher: about a tenth of a second. */
const MAX_STEPS = 2 ** 24
const MIN_TEXT_LENGTH = 200

/** Why a regular expression of a stranger could keep a backtracking matcher busy, or null. */
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
  const parsed = parsePattern(pattern)
  if (parsed.branches.flat().some(isCountTooHigh)) return `repeats more than ${MAX_COUNT} times`
  if (sizeOf(parsed.branches) > MAX_SIZE) return `stands for more than ${MAX_SIZE} characters`
  const cost = patternCost(parsed)
  if (cost.degree === Infinity) return 'repeats a repetition'
  return lengthFor(cost) < MIN_TEXT_LENGTH ? 'can match a text in too many ways' : null
}

/** How long a text may be, in UTF-16 units, that is matched with a pattern. */
export function maxTextLength(pattern: string): number {
  return Math.max(MIN_TEXT_LENGTH, lengthFor(patternCost(parsePattern(pattern))))
}

function lengthFor({ degree, choices }: { degree: number; choices: number }): number {
  return Math.floor((MAX_STEPS / choices) ** (1 / degree))
}

function isCountTooHigh({ atom, min, max }: Piece): boolean {
  if (min > MAX_COUNT || (max > MAX_COUNT && max !== Infinity)) return true
  return atom.kind === 'group' && atom.branches.flat().some(isCountTooHigh)
}

function sizeOf(branches: readonly (readonly Piece[])[]): number {
  let sum = 0
  for (const { atom, min, max } of branches.flat()) {
    const own =
      atom.kind === 'group' ? sizeOf(atom.branches) : /\\p/i.test(atom.source) ? PROPERTY_SIZE : 1
    sum += own * Math.max(1, min, max === Infinity ? 1 : max)
  }
  return sum
}
