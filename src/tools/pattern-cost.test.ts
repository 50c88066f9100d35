import { describe, expect, test } from 'vitest'
import { type PatternCost, patternCost } from './pattern-cost.ts'
import { type Group, type Piece, parsePattern, type Single } from './pattern-parser.ts'
import { maxTextLength, patternProblem } from './pattern-rules.ts'

const costOf = (pattern: string) => patternCost(parsePattern(pattern))

describe(patternCost, () => {
  test.each<[string, PatternCost]>([
    ['^[a-z]{2,5}-\\d+$', { degree: 1, choices: 1 }],
    ['^[\\w.+-]+@[\\w-]+\\.[a-z]{2,}$', { degree: 1, choices: 1 }],
    ['^(?:[A-Z][a-z]+)+$', { degree: 1, choices: 1 }],
    ['\\d+$', { degree: 2, choices: 1 }],
    ['^[ \\t]*\\S.*$', { degree: 1, choices: 1 }],
    ['^\\s*.*$', { degree: 2, choices: 1 }],
    ['^\\d+\\d+\\d+$', { degree: 3, choices: 1 }],
    ['^a?a$', { degree: 1, choices: 2 }],
    ['^(?:a|ab)c$', { degree: 1, choices: 2 }],
    ['^(?=.*[a-z])(?=.*[A-Z])(?=.*\\d).{8,}$', { degree: 2, choices: 1 }],
  ])('%s: %j', (pattern, cost) => expect(costOf(pattern)).toEqual(cost))

  test.each([
    '(a+)+',
    '^(?:-{0}a+)*$',
    '^(?:-a+a+)*$',
    '^(?:-a?a?)*$',
    '^(?:-(?:a|a))*$',
    '^(?:-(?:b+a*|b+))*$',
    '^(?:a(?=.*x))*$',
    '^(?:x*)*$',
    '^(?:|-)*$',
    '^(?:a+(?!b)a)*$',
  ])('%s is endless', (pattern) => expect(costOf(pattern).degree).toBe(Infinity))
})

test.each([
  ['^\\d*\\d*\\d*\\d*$', 'can match a text in too many ways'],
  ['a?'.repeat(60) + 'a'.repeat(60), 'can match a text in too many ways'],
  ['(?:a|aa)'.repeat(40), 'can match a text in too many ways'],
  ['(?:(?:a{1000}){1000}){1000}', 'stands for more than 2000 characters'],
  ['\\p{L}{1000}', 'stands for more than 2000 characters'],
])('%s is refused: it %s', (pattern, problem) => expect(patternProblem(pattern)).toBe(problem))

/** All that a backtracking matcher may try on a text, when in the end nothing fits. Throws above `most`. */
function countSteps(
  branches: Group['branches'],
  text: string,
  starts: number,
  most: number,
): number {
  let steps = 0
  type Next = (at: number) => boolean
  const step = () => {
    steps += 1
    if (steps > most) throw new Error(`over ${most} steps`)
  }
  const one = ({ source }: Single) => new RegExp(`^${source}$`, 'u')
  const known = new Map<string, RegExp>()
  const matches = (single: Single, at: number) => {
    const expression = known.get(single.source) ?? one(single)
    known.set(single.source, expression)
    return at < text.length && expression.test(text[at] ?? '')
  }
  const sequence = (pieces: readonly Piece[], at: number, next: Next): boolean => {
    const [piece, ...rest] = pieces
    if (piece === undefined) return next(at)
    return times(piece, 0, at, (end) => sequence(rest, end, next))
  }
  const times = (piece: Piece, done: number, at: number, next: Next): boolean => {
    step()
    const again = (end: number) => end > at && times(piece, done + 1, end, next)
    if (done < piece.max && atom(piece.atom, at, again)) return true
    return done >= piece.min && next(at)
  }
  const atom = (of: Piece['atom'], at: number, next: Next): boolean => {
    step()
    if (of.kind === 'single') return matches(of, at) && next(at + 1)
    return of.branches.some((branch) => sequence(branch, at, next))
  }
  for (let start = 0; start < starts; start += 1) {
    branches.some((branch) => sequence(branch, start, () => false))
  }
  return steps
}

/** A generator of numbers below one, the same ones each time. */
function makeRandom(seed: number) {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function randomPattern(random: () => number, depth: number): string {
  const pick = (from: readonly string[]) => from[Math.floor(random() * from.length)] ?? ''
  const atoms = ['a', 'b', '-', '[ab]', '[a-]', '[^a]', '.', '\\w', '\\W']
  const counts = ['', '', '', '?', '*', '+', '{2}', '{0,3}', '{1,}', '{0}']
  const pieces = Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
    const isGroup = depth > 0 && random() < 0.4
    if (!isGroup) return pick(atoms) + pick(counts)
    const branches = Array.from({ length: random() < 0.4 ? 2 : 1 }, () =>
      randomPattern(random, depth - 1),
    )
    return `(?:${branches.join('|')})${pick(counts)}`
  })
  return pieces.join('')
}

test('no pattern that is taken needs more steps than its cost says, whatever the text', () => {
  const random = makeRandom(1)
  let taken = 0
  for (let at = 0; at < 4000; at += 1) {
    const pattern = `${random() < 0.5 ? '^' : ''}${randomPattern(random, 2)}`
    if (patternProblem(pattern) !== null) continue
    taken += 1
    const { branches, isAnchored } = parsePattern(pattern)
    const { degree, choices } = patternCost({ branches, isAnchored })
    const length = 24
    const texts = ['a', 'b', '-', 'ab', 'a-', '-a', 'aab', 'ba-'].map((part) =>
      part.repeat(length).slice(0, length),
    )
    texts.push(
      ...Array.from({ length: 4 }, () =>
        Array.from({ length }, () => 'ab-'[Math.floor(random() * 3)]).join(''),
      ),
    )
    const most = 4 * pattern.length * choices * (length + 1) ** degree
    for (const text of texts) {
      const count = () => countSteps(branches, text, isAnchored ? 1 : length, most)
      expect(count, `${pattern} on ${text}`).not.toThrow()
    }
  }
  // Enough of them are taken to say something.
  expect(taken).toBeGreaterThan(1000)
})

test('a text may be as long as its pattern has the time for', () => {
  expect(maxTextLength('^[a-z]+$')).toBeGreaterThan(262_144)
  expect(maxTextLength('\\d+$')).toBe(4096)
  expect(maxTextLength('^\\S+@\\S+\\.\\S+$')).toBeGreaterThanOrEqual(254)
})
