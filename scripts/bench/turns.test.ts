import { expect, test } from 'vitest'
import { inTurns } from './turns.ts'

test('every other turn goes the other way round, and what was found stands where it was asked', async () => {
  const asked: string[] = []
  let count = 0
  const side = (name: string) => async () => {
    asked.push(name)
    count += 1
    return `${name}${count}`
  }
  expect(await inTurns(3, [side('a'), side('b'), side('c')])).toEqual([
    ['a1', 'b2', 'c3'],
    ['a6', 'b5', 'c4'],
    ['a7', 'b8', 'c9'],
  ])
  expect(asked.join('')).toBe('abccbaabc')
})
