import type { Group, ParsedPattern, Piece, Single } from './pattern-parser.ts'

/** A backtracking matcher needs at most about `choices` × length^`degree` steps. */
export interface PatternCost {
  readonly degree: number
  readonly choices: number
}

/** From here on a count is as good as unbounded. */
const MANY = 50
const NONE: PatternCost = { degree: 0, choices: 1 }
const ENDLESS: PatternCost = { degree: Infinity, choices: 1 }

/**
 * How long a backtracking matcher may take, at worst.
 *
 * Where the next character of the text decides how a pattern goes on (whether to repeat, which branch), there is one way
 * through the text. Each place where it does not decide is *loose*: an unbounded one adds a factor of the text's length, a
 * bounded one its number of ways. Inside a repetition a loose place may be met in every round, which is what makes a match
 * exponential: that is endless, whatever the text.
 */
export function patternCost({ branches, isAnchored }: ParsedPattern): PatternCost {
  const whole: Group = { kind: 'group', branches, isLookaround: false }
  const { degree, choices } = costOfGroup({ atom: whole, min: 1, max: 1 }, whole, [], false)
  // One for reading the text, and one for beginning anew at each of its characters.
  return { degree: degree + (isAnchored ? 1 : 2), choices }
}

function costOfSequence(
  pieces: readonly Piece[],
  follow: readonly Single[],
  isRepeated: boolean,
): PatternCost {
  let taken = NONE
  let most = NONE
  for (const [at, piece] of pieces.entries()) {
    const next = firsts(pieces.slice(at + 1), follow)
    const { atom } = piece
    const cost =
      atom.kind === 'single'
        ? costOfCount(piece, [atom], next)
        : costOfGroup(piece, atom, atom.isLookaround ? [] : next, isRepeated)
    const both = {
      degree: taken.degree + cost.degree,
      choices: taken.choices * cost.choices,
    }
    // Nobody comes back into what only looked: its ways are not those of what follows.
    if (atom.kind === 'single' || !atom.isLookaround) taken = both
    most = {
      degree: Math.max(most.degree, both.degree),
      choices: Math.max(most.choices, both.choices),
    }
  }
  return most
}

function costOfGroup(
  piece: Piece,
  group: Group,
  next: readonly Single[],
  isRepeated: boolean,
): PatternCost {
  const { branches, isLookaround } = group
  // Every round reads as far as it looks.
  if (isLookaround && isRepeated && branches.flat().some(varies)) return ENDLESS
  const own = firsts([{ atom: group, min: 1, max: 1 }], [])
  const isRound = isRepeated || piece.max > 1
  const follow = piece.max > 1 ? [...own, ...next] : next
  const costs = branches.map((branch) => costOfSequence(branch, follow, isRound))
  const ways = isDecided(branches, follow) ? 1 : branches.length
  const inside = {
    degree: Math.max(...costs.map((cost) => cost.degree)),
    choices: ways * Math.max(...costs.map((cost) => cost.choices)),
  }
  if (isRound && (inside.degree > 0 || inside.choices > 1)) return ENDLESS
  const isNullable = branches.some((branch) => branch.every(isSkippable))
  if (piece.max > 1 && isNullable) return ENDLESS
  const rounds = costOfCount(piece, own, next)
  return { degree: inside.degree + rounds.degree, choices: inside.choices * rounds.choices }
}

/** Of not knowing when to stop repeating what begins with one of `own`. */
function costOfCount(
  { min, max }: Piece,
  own: readonly Single[],
  next: readonly Single[],
): PatternCost {
  if (min === max || areAllApart(own, next)) return NONE
  const ways = max - min + 1
  return ways > MANY ? { degree: 1, choices: 1 } : { degree: 0, choices: ways }
}

/** Whether the next character tells which branch it is. */
function isDecided(branches: Group['branches'], follow: readonly Single[]): boolean {
  const starts = branches.map((branch) => firsts(branch, follow))
  return starts.every((start, at) =>
    starts.slice(at + 1).every((other) => areAllApart(start, other)),
  )
}

/** What the text may go on with: each thing that one of the pieces, or what follows them, can begin with. */
function firsts(pieces: readonly Piece[], follow: readonly Single[]): Single[] {
  const found: Single[] = []
  for (const piece of pieces) {
    const { atom } = piece
    if (atom.kind === 'single') found.push(atom)
    else for (const branch of atom.branches) found.push(...firsts(branch, []))
    if (!isSkippable(piece)) return found
  }
  return [...found, ...follow]
}

/** Whether what comes after the piece can stand where the piece does. */
function isSkippable({ atom, min }: Piece): boolean {
  if (min === 0) return true
  if (atom.kind === 'single') return false
  return atom.isLookaround || atom.branches.some((branch) => branch.every(isSkippable))
}

function varies({ atom, min, max }: Piece): boolean {
  return min !== max || (atom.kind === 'group' && atom.branches.flat().some(varies))
}

function areAllApart(some: readonly Single[], others: readonly Single[]): boolean {
  return some.every((one) => others.every((other) => areApart(one, other)))
}

/** Whether no character is both. Fails closed: what cannot be told overlaps. */
function areApart(a: Single, b: Single): boolean {
  if (a.literal !== null) return !canMatch(b, a.literal)
  if (b.literal !== null) return !canMatch(a, b.literal)
  if (!isAscii(a) && !isAscii(b)) return false
  return ASCII.every((character) => !canMatch(a, character) || !canMatch(b, character))
}

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))
/** Classes of which every member is ASCII. */
const ASCII_ONLY = /^(?:\\[dwtnrfv]|\[(?!\^)(?:[ -Z^-~]|\\[dwtnrfv]|\\[^A-Za-z\d])+\])$/

function isAscii({ source }: Single): boolean {
  return ASCII_ONLY.test(source)
}

function canMatch({ source, literal }: Single, character: string): boolean {
  return literal === null ? new RegExp(`^${source}$`, 'u').test(character) : literal === character
}
