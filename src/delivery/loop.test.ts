import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Found, makeLoop } from './loop.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** Runs a loop whose steps find these things, one after the other, and then nothing. When each began, milliseconds from the start. */
async function stepsOf(
  finds: readonly Found[],
  forMs: number,
  during: (loop: ReturnType<typeof makeLoop>) => void = () => undefined,
) {
  const startedAt = performance.now()
  const begun: number[] = []
  const rested: number[] = []
  const stop = new AbortController()
  const loop = makeLoop({
    step: async () => finds[begun.push(performance.now() - startedAt) - 1] ?? 'nothing',
    pollMs: 100,
    onRest: () => rested.push(performance.now() - startedAt),
    onError: (error) => expect.fail(String(error)),
  })
  const running = loop.run(stop.signal)
  during(loop)
  await vi.advanceTimersByTimeAsync(forMs)
  stop.abort()
  await running
  return { begun, rested, isResting: loop.isResting() }
}

test('goes on at once while there is more', async () => {
  const { begun } = await stepsOf(['more', 'more', 'nothing'], 50)
  expect(begun).toEqual([0, 0, 0])
})

test('looks again soon after it has found something, then after twice as long each, up to its poll', async () => {
  const { begun } = await stepsOf(['some', 'some', 'nothing'], 400)
  expect(begun).toEqual([0, 10, 20, 40, 80, 160, 260, 360])
})

test('rests only when it has found nothing', async () => {
  expect((await stepsOf(['some', 'nothing'], 15)).rested).toEqual([10])
  expect(await stepsOf(['some'], 5)).toMatchObject({ rested: [], isResting: false })
})

test('who wakes it has another look, also during a step', async () => {
  const { begun, rested } = await stepsOf(['nothing'], 50, (loop) => loop.wake())
  expect(begun).toEqual([0, 0])
  expect(rested).toEqual([0])
})
