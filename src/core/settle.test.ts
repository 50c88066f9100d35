import { describe, expect, test } from 'vitest'
import type { Outcome } from './delivery.ts'
import { settle } from './settle.ts'

const SCHEDULE_S = [5, 300]
const scheduled = (step: number) => ({ trigger: 'schedule', step, isResumable: false }) as const
const failed: Outcome = { kind: 'failed', statusCode: 500, snippet: '', error: 'HTTP 500' }
const throttled = (retryAfterMs: number | null): Outcome => ({
  kind: 'throttled',
  statusCode: 429,
  snippet: '',
  error: 'HTTP 429',
  retryAfterMs,
})

describe(settle, () => {
  test.each<Outcome>([
    { kind: 'delivered', statusCode: 200, snippet: '' },
    { kind: 'gone', statusCode: 410, snippet: '', error: 'HTTP 410' },
    { kind: 'blocked', error: 'not public' },
    { kind: 'expired', error: 'too old' },
  ])('$kind is the end', (outcome) => {
    expect(settle(scheduled(0), outcome, SCHEDULE_S, 0.5)).toEqual({ kind: 'final' })
  })

  test('a failure waits for the next step of the schedule, and after the last is the end', () => {
    const next = (step: number) => settle(scheduled(step), failed, SCHEDULE_S, 0.5)
    expect(next(0)).toEqual({ kind: 'again', afterMs: 5000, spends: true })
    expect(next(1)).toEqual({ kind: 'again', afterMs: 300_000, spends: true })
    expect(next(2)).toEqual({ kind: 'final' })
  })

  test('what is refused as it is, is not sent again', () => {
    const consequence = { stops: 'delivery', reason: 'no_text' } as const
    const settled = settle(scheduled(0), { ...failed, consequence }, SCHEDULE_S, 0.5)
    expect(settled).toEqual({ kind: 'final' })
  })

  test.each(['subscription', 'integration'] as const)(
    'what stops the whole %s loses nothing: the last try is not the last',
    (stops) => {
      const refused = { ...failed, consequence: { stops, reason: 'The webhook was removed.' } }
      const next = (step: number, schedule = SCHEDULE_S) =>
        settle(scheduled(step), refused, schedule, 0.5)
      expect(next(0)).toMatchObject({ kind: 'again', spends: true })
      expect(next(SCHEDULE_S.length)).toMatchObject({ kind: 'again', spends: false })
      expect(next(0, [])).toMatchObject({ kind: 'again', spends: false })
      const test = { ...scheduled(0), trigger: 'test' } as const
      expect(settle(test, refused, SCHEDULE_S, 0.5)).toEqual({ kind: 'final' })
    },
  )

  test('an empty schedule is a single try', () => {
    expect(settle(scheduled(0), failed, [], 0.5)).toEqual({ kind: 'final' })
  })

  test.each([
    [60_000, 60_000],
    [1000, 5000],
    [null, 5000],
  ])('a receiver that asks for %s ms waits %i ms', (asked, afterMs) => {
    expect(settle(scheduled(0), throttled(asked), SCHEDULE_S, 0.5)).toEqual({
      kind: 'again',
      afterMs,
      spends: true,
    })
  })

  test('a receiver that asks for time beyond the schedule has had its last try', () => {
    expect(settle(scheduled(2), throttled(60_000), SCHEDULE_S, 0.5)).toEqual({ kind: 'final' })
  })

  test.each(['schedule', 'manual'] as const)('an interrupted %s try costs nothing', (trigger) => {
    const outcome: Outcome = { kind: 'interrupted', error: 'shut down' }
    const settled = settle({ trigger, step: 9, isResumable: false }, outcome, SCHEDULE_S, 0.5)
    expect(settled).toEqual({ kind: 'again', afterMs: 500, spends: false })
  })

  test('one interrupted by trouble of ours that lasts waits for as long, about', () => {
    const outcome: Outcome = { kind: 'interrupted', error: 'no descriptor', waitMs: 10_000 }
    const settled = settle(scheduled(0), outcome, SCHEDULE_S, 0)
    expect(settled).toEqual({ kind: 'again', afterMs: 8500, spends: false })
  })

  test('a manual try that fails hands back to the schedule where there is more of it', () => {
    const manual = (isResumable: boolean) =>
      settle({ trigger: 'manual', step: 0, isResumable }, failed, SCHEDULE_S, 0.5)
    expect(manual(true)).toEqual({ kind: 'resume' })
    expect(manual(false)).toEqual({ kind: 'final' })
  })
})
