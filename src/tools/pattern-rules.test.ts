import { describe, expect, test } from 'vitest'
import { patternProblem } from './pattern-rules.ts'

describe(patternProblem, () => {
  test.each([
    '^[A-Z]{2,5}-\\d+$',
    '^[a-z0-9]+(?:-[a-z0-9]+)*$',
    '^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2})?$',
    '^(?:open|closed)$',
    '^(?<year>\\d+)$',
    '^[\\w.+-]+@[\\w-]+\\.[a-z]{2,}$',
    '^(a|b)+$',
    '^(?:foo|bar)*$',
    '^(ab)+$',
    '^(?=.*\\d)[a-z\\d]{8,}$',
    '^[)(*+]+$',
    '^\\(a\\)+$',
    '\\p{L}+',
    '\\bword\\b',
    '[\\]a]+(x\\]+)*',
    '',
  ])('%s is taken', (pattern) => expect(patternProblem(pattern)).toBeNull())

  test.each([
    '(a+)+$',
    '((a+))+$',
    '(a*)*',
    '(a|a)*$',
    '(a|ab)*$',
    '(\\w|\\d)+$',
    '([a-z]+)*',
    '(.*)*x',
    '(?:a?){30}a{30}',
    '(a+){10}',
    '(x(a+)*)*',
    '^(([a-z])+.)+[A-Z]([a-z])+$',
    '(?<n>a+)+',
    '(-[a-z-]+)*$',
    '(?:(?:a|b)+c?)*',
    '(aa|a)+',
  ])('%s is refused as a repetition of a repetition', (pattern) =>
    expect(patternProblem(pattern)).toBe('repeats a repetition'),
  )

  test.each([
    ['(a)\\1', 'refers back to a group'],
    ['(?<n>a)\\k<n>', 'refers back to a group'],
    ['(?i:xX+)*', 'changes its flags on the way'],
    ['a{1,100000}', 'repeats more than 1000 times'],
    ['(', 'is not a regular expression'],
    ['a'.repeat(501), 'is over 500 characters'],
  ])('%s is refused: %s', (pattern, problem) => expect(patternProblem(pattern)).toBe(problem))
})
