import { expect, test } from 'vitest'
import { formatToolsProblem, isToolsProblemShown, parseToolsProblem } from './tools-problem.ts'

test.each(['HTTP 500', '3: three', 'two\nlines', ''])('%j comes back as it was kept', (reason) => {
  const problem = { failures: 2, reason }
  expect(parseToolsProblem(formatToolsProblem(problem))).toEqual(problem)
})

test('where there is none there is none', () => {
  expect(parseToolsProblem(null)).toBeNull()
})

test.each([
  [1, false, true],
  [1, true, false],
  [2, true, false],
  [3, true, true],
])(
  'after %i failures, of tools that were read before: %s, somebody is told: %s',
  (failures, wasRead, isShown) => {
    expect(isToolsProblemShown({ failures, reason: 'x' }, wasRead)).toBe(isShown)
  },
)
