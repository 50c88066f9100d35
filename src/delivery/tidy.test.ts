import { beforeEach, describe, expect, test, vi } from 'vitest'
import { makeTidy } from './tidy.ts'

let nowMs = 0
const warn = vi.fn()
const vacuum = vi.fn<() => Promise<number | null>>()
const stopping = new AbortController()
const open = (signal = stopping.signal) =>
  makeTidy({ vacuum, log: { warn }, nowMs: () => nowMs, signal })

beforeEach(() => {
  nowMs = 0
  warn.mockClear()
  vacuum.mockReset().mockResolvedValue(0)
})

/** How many vacuums there were after each moment at which 20,000 more outcomes had been written. */
async function vacuumsAt(tidy: ReturnType<typeof makeTidy>, momentsMs: readonly number[]) {
  const counts: number[] = []
  for (const atMs of momentsMs) {
    nowMs = Math.max(nowMs, atMs)
    tidy.recorded(20_000)
    await tidy.settled()
    counts.push(vacuum.mock.calls.length)
  }
  return counts
}

describe(makeTidy, () => {
  test('vacuums each 20,000 outcomes', async () => {
    const tidy = open()
    tidy.recorded(19_999)
    expect(vacuum).toHaveBeenCalledTimes(0)
    tidy.recorded(1)
    expect(vacuum).toHaveBeenCalledTimes(1)
    await tidy.settled()
    tidy.recorded(19_999)
    expect(vacuum).toHaveBeenCalledTimes(1)
  })

  test('one at a time; what is written meanwhile counts for the next', async () => {
    const { promise, resolve } = Promise.withResolvers<number>()
    vacuum.mockReturnValueOnce(promise)
    const tidy = open()
    tidy.recorded(20_000)
    tidy.recorded(20_000)
    expect(vacuum).toHaveBeenCalledTimes(1)
    resolve(0)
    await tidy.settled()
    tidy.recorded(1)
    expect(vacuum).toHaveBeenCalledTimes(2)
  })

  test('takes a twentieth of the time at most', async () => {
    vacuum.mockImplementation(async () => {
      nowMs += 500
      return 0
    })
    expect(await vacuumsAt(open(), [0, 10_499, 10_500])).toEqual([1, 1, 2])
  })

  test('does not rest where there was nothing to do', async () => {
    vacuum.mockImplementation(async () => {
      nowMs += 500
      return null
    })
    expect(await vacuumsAt(open(), [0, 600])).toEqual([1, 2])
  })

  test('tells of very many dead rows that it had to leave, once a minute', async () => {
    vacuum.mockResolvedValueOnce(99_999).mockResolvedValue(100_000)
    await vacuumsAt(open(), [0, 1000, 60_999, 61_000])
    const told = [{ dead_rows: 100_000 }, 'queue.dead_rows']
    expect(warn.mock.calls).toEqual([told, told])
  })

  test('says why it could not, and tries again a minute later', async () => {
    const error = new Error('no')
    vacuum.mockRejectedValueOnce(error)
    expect(await vacuumsAt(open(), [0, 59_999, 60_000])).toEqual([1, 1, 2])
    expect(warn.mock.calls).toEqual([[{ err: error }, 'queue.not_tidied']])
  })

  test('leaves a queue that takes too long to autovacuum, for ten minutes', async () => {
    vacuum.mockRejectedValueOnce(Object.assign(new Error('timeout'), { code: '57014' }))
    expect(await vacuumsAt(open(), [0, 599_999, 600_000])).toEqual([1, 1, 2])
  })

  test('begins none when the process stops', async () => {
    expect(await vacuumsAt(open(AbortSignal.abort()), [0])).toEqual([0])
  })
})
