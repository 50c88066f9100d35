import { expect, test } from 'vitest'
import type { Result } from './part.ts'
import { compare, doubtsOf, formatLines, middle, sumUp, sumUpFacts } from './report.ts'

const ratio: Result = {
  name: 'ratio',
  title: 'deliveries ÷ raw',
  value: 0.5,
  unit: '',
  goal: 0.5,
  bound: 'at least',
  detail: '',
}
const losses: Result = { ...ratio, name: 'wrong', value: 0, goal: 0, bound: 'at most' }
const values = (of: Result, ...all: number[]) =>
  all.map((value) => ({ ...of, value, detail: `${value}` }))

test('the middle of many is the mean of their middle half; one that is far off moves it by nothing', () => {
  expect(middle([3])).toBe(3)
  expect(middle([3, 4])).toBe(3.5)
  expect(middle([3, 1, 2])).toBe(2)
  expect(middle([400, 1, 3, 2])).toBe(2.5)
  expect(middle([8, 1, 2, 7, 3, 900, 4, 6])).toBe(5)
})

test('a line is the middle of its rounds, with the detail of the nearest, in the order of the first round', () => {
  const lines = sumUp([...values(ratio, 0.9), ...values(losses, 0), ...values(ratio, 0.1, 0.6)])
  expect(lines).toMatchObject([
    { name: 'ratio', value: 0.6, detail: '0.6' },
    { name: 'wrong', value: 0 },
  ])
})

test('what must never happen is summed, so that one round in three cannot hide', () => {
  expect(sumUp(values(losses, 0, 2, 0))).toMatchObject([{ value: 2, met: false }])
})

test('a goal is met at its bound, and missed a little beyond it', () => {
  const most = { ...ratio, bound: 'at most' } as const
  expect(sumUp([ratio])).toMatchObject([{ met: true }])
  expect(sumUp([{ ...ratio, value: 0.4999 }])).toMatchObject([{ met: false }])
  expect(sumUp([most])).toMatchObject([{ met: true }])
  expect(sumUp([{ ...most, value: 0.5001 }])).toMatchObject([{ met: false }])
  expect(sumUp([{ ...most, value: Number.NaN }])).toMatchObject([{ met: false }])
})

test('facts are the middle too', () => {
  const fact = { name: 'wal', title: 'log', unit: 'MB' } as const
  const facts = [7, 1, 3].map((value) => ({ ...fact, value }))
  expect(sumUpFacts(facts)).toEqual([{ ...fact, value: 3 }])
})

test('the table says the value with its unit, the goal and whether it is met', () => {
  const memory = { ...ratio, title: 'memory', value: 300, unit: 'MB', goal: 256 } as const
  const table = formatLines(sumUp([{ ...memory, bound: 'at most', detail: 'VmHWM' }]))
  expect(table).toMatch(/^memory +│ 300 MB +│ ≤ 256 MB +│ MISSED +│ VmHWM$/m)
})

test('ratios are compared with those of an earlier run, up or down', () => {
  const line = (name: string, value: number) => ({ ...ratio, name, value, met: true })
  const earlier = [line('same', 1), line('up', 1), line('down', 1), line('gone', 1)]
  const now = [line('same', 1.09), line('up', 1.11), line('down', 0.8), line('new', 9)]
  const { table, off } = compare(earlier, now, 0.1)
  expect(off).toEqual(['up', 'down'])
  expect(table).toMatch(/^down +│ +1\.000 │ +0\.800 │ −20\.0 % +│ OFF$/m)
  expect(table).toMatch(/^gone +│.*not measured$/m)
})

test('what has a unit, or must be nothing, is compared with no earlier run', () => {
  const earlier = [
    { ...ratio, name: 'memory', unit: 'MB', met: true } as const,
    { ...losses, met: true },
  ]
  const now = earlier.map((line) => ({ ...line, value: 99 }))
  expect(compare(earlier, now, 0.1).off).toEqual([])
})

test('a busy machine and a ceiling that moved are told', () => {
  expect(doubtsOf([0.02, 0.05], [20_000, 22_000])).toEqual([])
  expect(doubtsOf([], [])).toEqual([])
  expect(doubtsOf([0.02, 0.4], [20_000, 31_000])).toEqual([
    'other work took 40 % of this machine',
    'the raw ceiling moved between 20000 and 31000 a second',
  ])
})
