import { expect, test } from 'vitest'
import { atMostEvery } from './at-most-every.ts'

test('however many ask, it is asked once in that time, and again after it', async () => {
  let now = 0
  let asked = 0
  const ask = atMostEvery(
    5000,
    () => now,
    async () => {
      asked += 1
      return asked
    },
  )
  expect(await Promise.all(Array.from({ length: 50 }, ask))).toEqual(Array(50).fill(1))
  now = 4999
  expect(await ask()).toBe(1)
  now = 5000
  expect(await Promise.all([ask(), ask()])).toEqual([2, 2])
})

test('one that takes longer than that time is not waited for by who asks after it', async () => {
  let now = 0
  const answers = [Promise.withResolvers<string>(), Promise.withResolvers<string>()]
  const waiting = [...answers]
  const ask = atMostEvery(
    10,
    () => now,
    () => waiting.shift()?.promise ?? Promise.reject(new Error('asked too often')),
  )
  const first = ask()
  now = 20
  const second = ask()
  answers[1]?.resolve('new')
  expect(await second).toBe('new')
  answers[0]?.resolve('old')
  expect(await first).toBe('old')
})
