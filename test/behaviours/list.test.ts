import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { BEHAVIOURS, EXCEPTIONS } from './list.ts'

const numbersOf = (entries: Readonly<Record<number, string>>) => Object.keys(entries).map(Number)

/** The numbers that names of tests begin with. A test that is skipped has none. */
function testedNumbers(): Set<number> {
  const files = globSync('*.test.ts', { cwd: import.meta.dirname })
  const texts = files.map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'))
  const names = texts.flatMap((text) => [...text.matchAll(/^test\(\s*['"`](\d+)\. /gm)])
  return new Set(names.map(([, number]) => Number(number)))
}

test('the list has 53 behaviours', () => {
  expect(numbersOf(BEHAVIOURS)).toEqual(Array.from({ length: 53 }, (_, index) => index + 1))
})

test('each behaviour is either a test by its number or an exception with a reason', () => {
  const tested = testedNumbers()
  const exceptions = new Set(numbersOf(EXCEPTIONS))
  expect([...tested.intersection(exceptions)]).toEqual([])
  expect([...tested.union(exceptions)].sort((a, b) => a - b)).toEqual(numbersOf(BEHAVIOURS))
  for (const reason of Object.values(EXCEPTIONS)) expect(reason.length).toBeGreaterThan(40)
})
