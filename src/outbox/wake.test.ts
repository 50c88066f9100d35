import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { makeWake } from './wake.ts'

test('the first wake goes at once, those of the next moment go together', async () => {
  const sent: string[] = []
  const wake = makeWake({ query: (text) => Promise.resolve(sent.push(text)) }, (error) =>
    expect.fail(String(error)),
  )
  wake()
  expect(sent).toEqual(['select patchbay.wake()'])
  for (let n = 0; n < 100; n += 1) wake()
  expect(sent).toHaveLength(1)
  // Longer than the gap between two.
  await sleep(30)
  expect(sent).toHaveLength(2)
})

test('a wake that cannot be sent is told, and the next one is tried', async () => {
  const errors: unknown[] = []
  const wake = makeWake({ query: () => Promise.reject(new Error('gone')) }, (error) =>
    errors.push(error),
  )
  wake()
  await sleep(30)
  wake()
  await sleep(0)
  expect(errors).toEqual([new Error('gone'), new Error('gone')])
})
