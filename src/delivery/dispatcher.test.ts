import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { makeLog } from '../telemetry/log.ts'
import type { Claim, Claimed } from './claim.ts'
import { type DispatcherDeps, makeDispatcher } from './dispatcher.ts'

const NOTHING: Claimed = { deliveries: [], stoppedLanes: [], walked: 0, lastLane: null }

const QUIET: DispatcherDeps = {
  relay: () => Promise.resolve({ events: 0, deliveries: 0 }),
  promote: () => Promise.resolve(0),
  tend: () => Promise.resolve(0),
  claim: () => Promise.resolve(NOTHING),
  holdLanes: () => Promise.resolve(),
  lanesOf: () => Promise.resolve({ open: new Map(), waiting: new Set() }),
  eventsOf: () => Promise.resolve(new Map()),
  attempt: () => Promise.reject(new Error('nothing is claimed')),
  recorder: { add: () => undefined, unrecorded: () => 0, flush: () => Promise.resolve() },
  random: () => 0,
  log: makeLog('silent'),
  concurrency: 4,
  laneStart: 1,
  laneConcurrency: 2,
  pollMs: 1,
  leaseMs: 1000,
  attemptTimeoutMs: 500,
  graceMs: 0,
}

/** A dispatcher whose claims are answered by `answer`, until it has given `count` answers. */
async function claimsOf(count: number, answer: (n: number) => Claimed): Promise<Claim[]> {
  const claims: Claim[] = []
  const stop = new AbortController()
  const deps: DispatcherDeps = {
    ...QUIET,
    claim: (claim) => {
      claims.push(claim)
      if (claims.length === count) stop.abort()
      return Promise.resolve(answer(claims.length))
    },
  }
  await makeDispatcher(deps).run(stop.signal)
  return claims
}

describe('the walk over the lanes', () => {
  test('goes on behind the last one that was looked at, though none of them gave anything', async () => {
    const full = (lastLane: string, walked: number): Claimed => ({ ...NOTHING, walked, lastLane })
    const claims = await claimsOf(4, (n) =>
      n < 3 ? full(`lane ${n}`, n === 1 ? 2 : 4) : { ...NOTHING, walked: 1 },
    )
    expect(claims.map(({ afterLane }) => afterLane)).toEqual([
      '00000000-0000-0000-0000-000000000000',
      'lane 1',
      'lane 2',
      '00000000-0000-0000-0000-000000000000',
    ])
  })

  test('takes two of each lane at a turn, until lanes have only one; and then again from the first lane on', async () => {
    const claims = await claimsOf(4, (n) => {
      if (n === 3) return { ...NOTHING, walked: 1 }
      return { ...NOTHING, walked: n === 1 ? 2 : 4, lastLane: `lane ${n}` }
    })
    expect(claims.map(({ slots, lanes }) => slots / lanes)).toEqual([2, 1, 1, 2])
  })

  test('rests after a round that gave nothing', async () => {
    const startedAt = performance.now()
    await claimsOf(20, () => NOTHING)
    // Twenty polls of a millisecond; without a rest it would take none.
    expect(performance.now() - startedAt).toBeGreaterThan(15)
  })
})

test('nothing is started after the end, though a step breaks while a claim is under way', async () => {
  const stop = new AbortController()
  let isOver = false
  let wasLate = false
  const deps: DispatcherDeps = {
    ...QUIET,
    relay: () => Promise.reject(new Error('the connection is gone')),
    claim: async () => {
      stop.abort()
      // The database takes its time to answer.
      await sleep(50)
      wasLate = isOver
      return NOTHING
    },
  }
  await makeDispatcher(deps).run(stop.signal)
  isOver = true
  await sleep(100)
  expect(wasLate).toBe(false)
})
