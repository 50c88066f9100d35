import { describe, expect, test } from 'vitest'
import { DEFAULT_SCHEDULE_S, retryAfterMs, scheduleProblem, withJitter } from './schedule.ts'

const NOW_MS = Date.parse('2026-01-31T12:00:00Z')

describe(scheduleProblem, () => {
  test.each([
    [[...DEFAULT_SCHEDULE_S], null],
    [[], null],
    [[0], null],
    [[2_592_000], null],
    [[2_592_000, 1], /30 days/],
    [Array<number>(20).fill(1), null],
    [Array<number>(21).fill(1), /20 steps/],
    [[1.5], /whole seconds/],
    [[-1], /whole seconds/],
    [[Number.NaN], /whole seconds/],
    [[Number.POSITIVE_INFINITY], /whole seconds/],
  ])('%j: %s', (schedule, problem) => {
    if (problem === null) expect(scheduleProblem(schedule)).toBeNull()
    else expect(scheduleProblem(schedule)).toMatch(problem)
  })
})

test('jitter spreads a wait over fifteen percent on both sides', () => {
  expect([0, 0.5, 1].map((dice) => withJitter(1000, dice))).toEqual([850, 1000, 1150])
})

describe(retryAfterMs, () => {
  test.each([
    ['120', 120_000],
    [' 7 ', 7000],
    ['999999999', 86_400_000],
    ['Sat, 31 Jan 2026 12:01:30 GMT', 90_000],
    ['Sat, 31 Jan 2026 11:59:00 GMT', null],
    ['Fri, 31 Dec 2099 23:59:59 GMT', 86_400_000],
    ['0', null],
    ['-5', null],
    ['soon', null],
    ['', null],
    ['1e400', null],
    [undefined, null],
  ])('%j waits %s ms', (header, waitMs) => {
    expect(retryAfterMs(header, NOW_MS)).toBe(waitMs)
  })
})
