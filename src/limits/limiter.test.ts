import { beforeEach, describe, expect, test } from 'vitest'
import { makeLimiter, type Take } from './limiter.ts'
import type { Limit } from './window.ts'

const MINUTE = 60_000
let now: number
let asked: number
let warnings: number
let counts: Map<string, { total: number; endsAtMs: number }>
let isAway: boolean

beforeEach(() => {
  now = 1_000_000
  asked = 0
  warnings = 0
  counts = new Map()
  isAway = false
})

/** What all processes share, in memory. */
async function count(key: string, points: number, windowMs: number) {
  asked += 1
  if (isAway) throw new Error('away')
  const known = counts.get(key)
  const open =
    known !== undefined && known.endsAtMs > now ? known : { total: 0, endsAtMs: now + windowMs }
  const counted = { total: open.total + points, endsAtMs: open.endsAtMs }
  counts.set(key, counted)
  return { total: counted.total, resetMs: counted.endsAtMs - now }
}

function startProcess(options: { maxWindows?: number; patienceMs?: number } = {}): Take {
  return makeLimiter({
    count,
    nowMs: () => now,
    log: {
      warn: () => {
        warnings += 1
      },
    },
    ...options,
  })
}

async function allowed(take: Take, limit: Limit, times: number, key = 'k'): Promise<number> {
  let sum = 0
  for (let at = 0; at < times; at += 1) if ((await take(key, limit)).isAllowed) sum += 1
  return sum
}

describe(makeLimiter, () => {
  test.each([1, 7, 99, 100, 6000])(
    'one process gives %i points, and not one more',
    async (points) => {
      const take = startProcess()
      const limit = { points, windowMs: MINUTE }
      expect(await allowed(take, limit, points + 50)).toBe(points)
      expect(await take('k', limit)).toEqual({
        isAllowed: false,
        limit: points,
        remaining: 0,
        resetMs: MINUTE,
      })
      expect(await allowed(take, limit, 1, 'another key')).toBe(1)
    },
  )

  test('all points are back when the window is over, and the reset says when', async () => {
    const take = startProcess()
    const limit = { points: 5, windowMs: MINUTE }
    await allowed(take, limit, 6)
    now += 45_000
    expect(await take('k', limit)).toMatchObject({ isAllowed: false, resetMs: 15_000 })
    now += 15_000
    expect(await allowed(take, limit, 10)).toBe(5)
  })

  test('what remains counts down', async () => {
    const take = startProcess()
    const limit = { points: 300, windowMs: MINUTE }
    const remaining = []
    for (let at = 0; at < 8; at += 1) remaining.push((await take('k', limit)).remaining)
    expect(remaining).toEqual([299, 298, 297, 296, 295, 294, 293, 292])
  })

  test('a small limit holds exactly over all processes, however the calls are spread', async () => {
    const processes = Array.from({ length: 5 }, () => startProcess())
    const limit = { points: 40, windowMs: MINUTE }
    let sum = 0
    for (let at = 0; at < 50; at += 1) {
      for (const take of processes) sum += await allowed(take, limit, 1)
    }
    expect(sum).toBe(40)
  })

  test('a large limit holds over all processes to 1 % for each of them', async () => {
    const processes = Array.from({ length: 5 }, () => startProcess())
    const limit = { points: 1000, windowMs: MINUTE }
    let sum = 0
    for (let at = 0; at < 400; at += 1) {
      for (const take of processes) sum += await allowed(take, limit, 1)
    }
    expect(sum).toBeGreaterThanOrEqual(1000 - 5 * 10)
    expect(sum).toBeLessThanOrEqual(1000 + 5 * 10)
  })

  test('who is far from the limit costs no question, and who is busy one for each hundredth', async () => {
    const take = startProcess()
    const limit = { points: 6000, windowMs: MINUTE }
    await allowed(take, limit, 60)
    expect(asked).toBe(0)
    await allowed(take, limit, 5940)
    expect(asked).toBe(99)
    await allowed(take, limit, 1000)
    expect(asked).toBe(99)
  })

  test('calls at the same moment share one question at a time', async () => {
    const take = startProcess()
    const limit = { points: 50, windowMs: MINUTE }
    const verdicts = await Promise.all(Array.from({ length: 500 }, () => take('k', limit)))
    expect(verdicts.filter(({ isAllowed }) => isAllowed)).toHaveLength(50)
    expect(asked).toBeLessThan(5)
  })

  test('where the count is away everything is let through, with a warning now and then', async () => {
    const take = startProcess()
    const limit = { points: 3, windowMs: MINUTE }
    isAway = true
    expect(await allowed(take, limit, 100)).toBe(100)
    expect({ asked, warnings }).toEqual({ asked: 1, warnings: 1 })
    now += 1000
    await allowed(take, limit, 100)
    expect({ asked, warnings }).toEqual({ asked: 2, warnings: 2 })
    isAway = false
    now += 1000
    // What was given meanwhile counts.
    expect(await allowed(take, limit, 1)).toBe(0)
  })

  test('a count that does not answer is waited for once, not by every call', async () => {
    let answer: (counted: { total: number; resetMs: number }) => void = () => undefined
    const take = makeLimiter({
      count: () =>
        new Promise((done) => {
          answer = done
        }),
      nowMs: () => now,
      log: { warn: () => undefined },
      patienceMs: 1,
    })
    const limit = { points: 1, windowMs: MINUTE }
    expect(await allowed(take, limit, 3)).toBe(3)
    answer({ total: 1, resetMs: MINUTE })
    await Promise.resolve()
    now += 1000
    // The late answer was taken in: one point, which goes first, then nothing.
    expect(await allowed(take, limit, 2)).toBe(1)
  })

  test('no more windows are kept than it may', async () => {
    const take = startProcess({ maxWindows: 10 })
    const limit = { points: 1, windowMs: MINUTE }
    for (let at = 0; at < 100; at += 1) expect(await allowed(take, limit, 2, `k${at}`)).toBe(1)
    // The shared count still knows the one that was forgotten here.
    expect(await allowed(take, limit, 1, 'k0')).toBe(0)
  })
})
