import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { onAbort } from './on-abort.ts'

test('an abort calls everyone that has not forgotten it, once', () => {
  const stopping = new AbortController()
  const called: number[] = []
  const forget = [1, 2, 3].map((n) => onAbort(stopping.signal, () => called.push(n)))
  forget[1]?.()
  stopping.abort()
  stopping.abort()
  expect(called).toEqual([1, 3])
})

test('however many listen, the signal has one listener', () => {
  const { signal } = new AbortController()
  for (let n = 0; n < 100; n += 1) onAbort(signal, () => undefined)
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
})

test('without a signal there is nothing to call, and nothing to forget', () => {
  expect(onAbort(undefined, () => undefined)()).toBeUndefined()
})
