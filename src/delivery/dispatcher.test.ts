import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { tried } from '../../test/fixtures/attempts.ts'
import { makeRedact } from '../core/redact.ts'
import { makeLog } from '../telemetry/log.ts'
import { NO_METER } from '../telemetry/meter.ts'
import type { LaneConfig, Tried } from './attempt.ts'
import type { Claim, Claimed } from './claim.ts'
import { type DispatcherDeps, makeDispatcher } from './dispatcher.ts'
import { makeWalk } from './walk.ts'

const NOTHING: Claimed = {
  deliveries: [],
  stoppedLanes: [],
  isCut: false,
  walked: 0,
  lastLane: null,
}

const QUIET: DispatcherDeps = {
  relay: () => Promise.resolve({ events: 0, deliveries: 0, isCut: false }),
  promote: () => Promise.resolve(0),
  tend: () => Promise.resolve(0),
  claim: () => Promise.resolve(NOTHING),
  holdLanes: () => Promise.resolve(),
  lanesOf: () => Promise.resolve({ open: new Map(), waiting: new Set() }),
  eventsOf: () => Promise.resolve(new Map()),
  attempt: () => Promise.reject(new Error('nothing is claimed')),
  follow: () => undefined,
  recorder: { add: () => undefined, unrecorded: () => 0, flush: () => Promise.resolve() },
  random: () => 0,
  log: makeLog('silent'),
  meter: NO_METER,
  concurrency: 4,
  laneStart: 1,
  laneConcurrency: 2,
  pollMs: 1,
  leaseMs: 1000,
  attemptTimeoutMs: 500,
  graceMs: 0,
}

/** A delivery of a lane that has never delivered. */
function claimedOf(lane: string): Claimed['deliveries'][number] {
  return {
    delivery_id: lane,
    org_id: 'acme',
    subscription_id: lane,
    subscription_revision: 1,
    integration_revision: 1,
    lease_token: 'token',
    attempt: 1,
    step: 0,
    trigger: 'schedule',
    is_resumable: false,
    event_id: 'event',
    age_s: null,
    send_after_ms: null,
    is_unproven: true,
    is_in_order: false,
  }
}

const CONFIG: LaneConfig = {
  url: { isAllowed: false, reason: 'is not asked for' },
  network: 'public',
  headers: [],
  sign: () => ({ standard: '', plain: '' }),
  scheduleS: [],
  maxAgeS: null,
  content: 'full',
  integrationId: 'integration',
  sender: {
    channel: null,
    maxAnswerBytes: 0,
    render: () => ({ body: '', isSigned: true }),
    judge: () => ({ kind: 'interrupted', error: 'is not asked for' }),
    threadOf: () => null,
  },
  redact: makeRedact([]),
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

  test('looks at few lanes while most of them may have nothing now, and at many again when they may', async () => {
    const walk = makeWalk()
    const went = (walked: number, taken: number) => {
      const deliveries = Array.from({ length: taken }, (_, n) => claimedOf(`lane ${n}`))
      walk.went(512, walked, { ...NOTHING, deliveries, walked, lastLane: 'lane' })
      return walk.next(512).lanes
    }
    expect(went(256, 16)).toBe(64)
    expect(went(64, 16)).toBe(64)
    expect(went(64, 40)).toBe(512)
    expect(went(512, 16)).toBe(64)
  })

  test('rests after a round that gave nothing', async () => {
    const startedAt = performance.now()
    await claimsOf(20, () => NOTHING)
    // Twenty polls of a millisecond; without a rest it would take none.
    expect(performance.now() - startedAt).toBeGreaterThan(15)
  })
})

test('while lanes that hang have their part of the slots, claims go past lanes that are not proven', async () => {
  const stop = new AbortController()
  const claims: Claim[] = []
  const hanging = ['a', 'b', 'c'].map(claimedOf)
  const deps: DispatcherDeps = {
    ...QUIET,
    concurrency: 6,
    lanesOf: (rows) =>
      Promise.resolve({
        open: new Map(rows.map((row) => [row.subscription_id, CONFIG])),
        waiting: new Set(),
      }),
    attempt: (_row, _event, _lane, { signal }) =>
      new Promise((_, fail) => signal.addEventListener('abort', () => fail(new Error('stopped')))),
    claim: (claim) => {
      claims.push(claim)
      if (claims.length === 6) stop.abort()
      // The first two lanes of a long walk; then one more of them.
      if (claims.length === 1) {
        return Promise.resolve({
          ...NOTHING,
          deliveries: hanging.slice(0, 2),
          walked: 3,
          lastLane: 'b',
        })
      }
      if (claims.length === 3) {
        return Promise.resolve({
          ...NOTHING,
          deliveries: hanging.slice(2),
          walked: 2,
          lastLane: 'c',
        })
      }
      return Promise.resolve(NOTHING)
    },
  }
  await makeDispatcher(deps).run(stop.signal)
  // In turns while there is a part left, and then no other way.
  expect(claims.map(({ isProvenOnly }) => isProvenOnly)).toEqual([
    false,
    true,
    false,
    true,
    true,
    true,
  ])
  expect(claims.map(({ unprovenSlots }) => unprovenSlots)).toEqual([1, 1, 1, 0, 0, 0])
})

describe('who asks', () => {
  /** Nothing is looked at by itself within a test's time. */
  const patient = { ...QUIET, pollMs: 60_000 }

  async function runWhile(
    deps: DispatcherDeps,
    work: (drain: () => Promise<void>) => Promise<void>,
  ) {
    const stop = new AbortController()
    const dispatcher = makeDispatcher(deps)
    const running = dispatcher.run(stop.signal)
    await sleep(20)
    await work(() => dispatcher.drain(60_000))
    stop.abort()
    await running
  }

  test('has what the relay finds sent at once, and is told when nothing is due any more', async () => {
    let pending = 0
    let ready = 0
    const claims: number[] = []
    const deps: DispatcherDeps = {
      ...patient,
      relay: async () => {
        const deliveries = pending
        await sleep(20)
        ready += deliveries
        pending = 0
        return { events: deliveries, deliveries, isCut: false }
      },
      claim: async () => {
        claims.push(ready)
        ready = 0
        return NOTHING
      },
    }
    await runWhile(deps, async (drain) => {
      pending = 3
      await drain()
    })
    expect(claims).toContain(3)
    expect(pending + ready).toBe(0)
  })

  test('has the lanes looked at, though the relay finds nothing', async () => {
    let claims = 0
    const deps: DispatcherDeps = {
      ...patient,
      claim: async () => {
        claims += 1
        return NOTHING
      },
    }
    await runWhile(deps, async (drain) => {
      const before = claims
      await drain()
      expect(claims).toBeGreaterThan(before)
    })
  })
})

describe('outcomes that were written', () => {
  const outcome = (isInLine: boolean) => tried('a', 'token', { isInLine })

  /** How many claims follow outcomes that are written after one that found nothing. */
  async function claimsAfter(isInLine: boolean): Promise<number> {
    const stop = new AbortController()
    let claims = 0
    const dispatcher = makeDispatcher({
      ...QUIET,
      pollMs: 60_000,
      claim: () => {
        claims += 1
        return Promise.resolve(NOTHING)
      },
    })
    const running = dispatcher.run(stop.signal)
    await sleep(20)
    const before = claims
    dispatcher.recorded([outcome(false), outcome(isInLine)])
    await sleep(20)
    stop.abort()
    await running
    return claims - before
  }

  test('are followed by a claim where another one waits for their end', async () => {
    expect(await claimsAfter(true)).toBe(1)
  })

  test('are followed by none where nothing was left behind', async () => {
    expect(await claimsAfter(false)).toBe(0)
  })

  test('are followed by a claim once there is room, where another one waits for their end', async () => {
    const stop = new AbortController()
    let claims = 0
    let unrecorded = 0
    const dispatcher = makeDispatcher({
      ...QUIET,
      pollMs: 60_000,
      recorder: { ...QUIET.recorder, unrecorded: () => unrecorded },
      claim: () => {
        claims += 1
        return Promise.resolve(NOTHING)
      },
    })
    const running = dispatcher.run(stop.signal)
    await sleep(20)
    unrecorded = 6
    dispatcher.recorded([outcome(true)])
    await sleep(20)
    expect(claims).toBe(1)
    unrecorded = 0
    dispatcher.recorded([outcome(false)])
    await sleep(20)
    stop.abort()
    await running
    expect(claims).toBe(2)
  })

  test('while a claim goes past their lane are followed by another one', async () => {
    const stop = new AbortController()
    const busyLanes: (readonly string[])[] = []
    const sent = Promise.withResolvers<Tried>()
    const claimed = Promise.withResolvers<Claimed>()
    const dispatcher = makeDispatcher({
      ...QUIET,
      pollMs: 60_000,
      lanesOf: () =>
        Promise.resolve({ open: new Map([['A', {} as LaneConfig]]), waiting: new Set() }),
      attempt: () => sent.promise,
      recorder: { ...QUIET.recorder, add: (record) => dispatcher.recorded([record]) },
      claim: (claim) => {
        busyLanes.push(claim.busyLanes)
        const deliveries = [{ ...claimedOf('A'), is_unproven: false }]
        if (busyLanes.length === 1) return Promise.resolve({ ...NOTHING, deliveries })
        return busyLanes.length === 2 ? claimed.promise : Promise.resolve(NOTHING)
      },
    })
    const running = dispatcher.run(stop.signal)
    await sleep(20)
    void dispatcher.drain(0)
    await sleep(20)
    sent.resolve({ outcome: { kind: 'interrupted', error: '' }, durationMs: 1 })
    await sleep(20)
    claimed.resolve(NOTHING)
    await sleep(20)
    stop.abort()
    await running
    expect(busyLanes).toEqual([[], ['A'], []])
  })
})

test('a claim that was cut is followed by another one at once', async () => {
  const stop = new AbortController()
  let claims = 0
  const deps: DispatcherDeps = {
    ...QUIET,
    pollMs: 60_000,
    claim: () => {
      claims += 1
      return Promise.resolve({ ...NOTHING, isCut: claims < 3 })
    },
  }
  const running = makeDispatcher(deps).run(stop.signal)
  await sleep(20)
  stop.abort()
  await running
  expect(claims).toBe(3)
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

test('a try is counted by its outcome, with its time', async () => {
  const stop = new AbortController()
  const counted = Promise.withResolvers<unknown>()
  const tried: Tried = { outcome: { kind: 'interrupted', error: '' }, durationMs: 7 }
  const running = makeDispatcher({
    ...QUIET,
    lanesOf: () => Promise.resolve({ open: new Map([['A', CONFIG]]), waiting: new Set() }),
    attempt: () => Promise.resolve(tried),
    meter: { attempted: (...attempted) => counted.resolve(attempted) },
    claim: () => Promise.resolve({ ...NOTHING, deliveries: [claimedOf('A')] }),
  }).run(stop.signal)
  expect(await counted.promise).toEqual(['interrupted', 7])
  stop.abort()
  await running
})
