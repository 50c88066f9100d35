import { getEventListeners } from 'node:events'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
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

test('who is forgotten while others are called is not called any more, and forgetting twice forgets nobody else', () => {
  const stopping = new AbortController()
  const called: number[] = []
  const first = onAbort(stopping.signal, () => {
    called.push(1)
    second()
  })
  const second = onAbort(stopping.signal, () => called.push(2))
  onAbort(stopping.signal, () => called.push(3))
  const gone = onAbort(stopping.signal, () => called.push(4))
  gone()
  onAbort(stopping.signal, () => called.push(5))
  gone()
  stopping.abort()
  first()
  expect(called).toEqual([1, 3, 5])
})

test('however many listen, the signal has one listener', () => {
  const { signal } = new AbortController()
  for (let n = 0; n < 100; n += 1) onAbort(signal, () => undefined)
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
})

test('without a signal there is nothing to call, and nothing to forget', () => {
  expect(onAbort(undefined, () => undefined)()).toBeUndefined()
})

test('who has forgotten it is gone with the next small collection', () => {
  setFlagsFromString('--expose-gc')
  const collect: (options?: { type: 'minor' }) => void = runInNewContext('gc')
  const { signal } = new AbortController()
  const oldBytes = () =>
    getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')
      ?.space_used_size ?? 0
  const exchange = (count: number) => {
    const underWay: (() => void)[] = []
    for (let n = 0; n < count; n += 1) {
      const held = new Array(128).fill(n)
      underWay.push(onAbort(signal, () => held))
      if (underWay.length > 400) underWay.shift()?.()
      if (n % 1000 === 0) collect({ type: 'minor' })
    }
    for (const forget of underWay) forget()
  }
  exchange(3000)
  collect()
  const before = oldBytes()
  exchange(30_000)
  // What they held is 30 MB together.
  expect(oldBytes() - before).toBeLessThan(3_000_000)
})
