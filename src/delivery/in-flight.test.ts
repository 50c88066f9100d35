import { describe, expect, test } from 'vitest'
import { makeInFlight } from './in-flight.ts'

describe(makeInFlight, () => {
  test('lets a lane have a few at first, and one more for each that succeeds', () => {
    const inFlight = makeInFlight(2, 4)
    inFlight.started('a', false)
    inFlight.started('a', false)
    expect(inFlight.busyLanes()).toEqual(['a'])
    expect(inFlight.rooms()).toEqual({ lanes: [], sizes: [] })
    inFlight.ended('a', false, true)
    expect(inFlight.busyLanes()).toEqual([])
    expect(inFlight.rooms()).toEqual({ lanes: ['a'], sizes: [2] })
  })

  test('lets no lane have more than the most', () => {
    const inFlight = makeInFlight(1, 3)
    inFlight.started('a', false)
    for (let n = 0; n < 10; n += 1) {
      inFlight.started('a', false)
      inFlight.ended('a', false, true)
    }
    expect(inFlight.rooms()).toEqual({ lanes: ['a'], sizes: [2] })
  })

  test('takes a lane back to the start when one fails, and when nothing is in flight', () => {
    const inFlight = makeInFlight(1, 8)
    for (let n = 0; n < 4; n += 1) inFlight.started('a', false)
    inFlight.ended('a', false, true)
    inFlight.ended('a', false, false)
    expect(inFlight.busyLanes()).toEqual(['a'])
    inFlight.ended('a', false, true)
    inFlight.ended('a', false, true)
    inFlight.started('a', false)
    expect(inFlight.busyLanes()).toEqual(['a'])
  })

  test('counts all, and those of unproven lanes', () => {
    const inFlight = makeInFlight(1, 1)
    inFlight.started('a', true)
    inFlight.started('b', false)
    expect([inFlight.total(), inFlight.unproven()]).toEqual([2, 1])
    inFlight.ended('a', true, false)
    inFlight.ended('b', false, true)
    expect([inFlight.total(), inFlight.unproven()]).toEqual([0, 0])
  })
})
