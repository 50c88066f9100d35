import { describe, expect, test, vi } from 'vitest'
import { type InFlight, makeInFlight } from './in-flight.ts'

const times = (count: number, work: () => void) => {
  for (let n = 0; n < count; n += 1) work()
}
const start = (inFlight: InFlight, count: number) =>
  times(count, () => inFlight.started('a', false))
const succeed = (inFlight: InFlight, count: number) =>
  times(count, () => inFlight.ended('a', false, 'delivered', 0))

describe(makeInFlight, () => {
  test('lets a lane that uses all it may have one more for each that succeeds, also after a rest', () => {
    const inFlight = makeInFlight(2, 8)
    start(inFlight, 2)
    expect(inFlight.busyLanes()).toEqual(['a'])
    expect(inFlight.rooms()).toEqual({ lanes: [], sizes: [] })
    succeed(inFlight, 2)
    expect(inFlight.busyLanes()).toEqual([])
    expect(inFlight.rooms()).toEqual({ lanes: ['a'], sizes: [4] })
    start(inFlight, 3)
    expect(inFlight.rooms()).toEqual({ lanes: ['a'], sizes: [1] })
  })

  test('remembers nothing of a lane that has no use for more', () => {
    const inFlight = makeInFlight(4, 8)
    times(10, () => {
      start(inFlight, 3)
      succeed(inFlight, 3)
    })
    expect(inFlight.rooms()).toEqual({ lanes: [], sizes: [] })
  })

  test('lets no lane have more than the most', () => {
    const inFlight = makeInFlight(1, 3)
    times(10, () => {
      start(inFlight, 3)
      succeed(inFlight, 3)
    })
    expect(inFlight.rooms()).toEqual({ lanes: ['a'], sizes: [3] })
  })

  test('halves what a lane may have when one fails, down to the start', () => {
    const inFlight = makeInFlight(2, 64)
    start(inFlight, 20)
    succeed(inFlight, 8)
    expect(inFlight.busyLanes()).toEqual(['a'])
    inFlight.ended('a', false, 'interrupted', 0)
    start(inFlight, 1)
    inFlight.ended('a', false, 'failed', 0)
    start(inFlight, 1)
    succeed(inFlight, 7)
    expect(inFlight.busyLanes()).toEqual([])
    times(5, () => inFlight.ended('a', false, 'failed', 0))
    start(inFlight, 2)
    expect(inFlight.busyLanes()).toEqual(['a'])
    expect(inFlight.rooms()).toEqual({ lanes: [], sizes: [] })
  })

  test('counts all, and those of unproven lanes', () => {
    const inFlight = makeInFlight(1, 1)
    inFlight.started('a', true)
    inFlight.started('b', false)
    expect([inFlight.total(), inFlight.unproven()]).toEqual([2, 1])
    inFlight.ended('a', true, 'failed', 0)
    inFlight.ended('b', false, 'delivered', 0)
    expect([inFlight.total(), inFlight.unproven()]).toEqual([0, 0])
  })

  test('what hung counts among the unproven for a while after its end, and no longer in all', () => {
    vi.useFakeTimers()
    try {
      const inFlight = makeInFlight(4, 8)
      for (const lane of ['a', 'b', 'c']) inFlight.started(lane, true)
      inFlight.ended('a', true, 'failed', 0)
      inFlight.ended('b', true, 'failed', 500)
      expect([inFlight.total(), inFlight.unproven()]).toEqual([1, 2])
      vi.advanceTimersByTime(499)
      expect(inFlight.unproven()).toBe(2)
      vi.advanceTimersByTime(1)
      expect([inFlight.total(), inFlight.unproven()]).toEqual([1, 1])
    } finally {
      vi.useRealTimers()
    }
  })
})
