import { beforeEach, expect, test } from 'vitest'
import { makeCheckBudget } from './check-budget.ts'

let now: number
let within: ReturnType<typeof makeCheckBudget>
beforeEach(() => {
  now = 0
  within = makeCheckBudget(() => now)
})

const take = (orgId: string, ms: number) =>
  within(orgId, () => {
    now += ms
    return 'checked'
  })

test('quick checks are never refused', () => {
  for (let at = 0; at < 1000; at += 1) expect(take('o', 24)).toBe('checked')
})

test('slow ones share a second in ten; then the org is told when to come back', () => {
  expect(take('o', 500)).toBe('checked')
  expect(take('o', 500)).toBe('checked')
  expect(() => take('o', 1)).toThrow(
    expect.objectContaining({ code: 'RATE_LIMITED', retryAfterS: 10 }),
  )
  expect(take('other', 500)).toBe('checked')
  now = 10_500
  expect(take('o', 500)).toBe('checked')
})

test('a check that throws has taken its time as well', () => {
  const broken = () =>
    within('o', () => {
      now += 2000
      throw new Error('broke')
    })
  expect(broken).toThrow('broke')
  expect(broken).toThrow(expect.objectContaining({ code: 'RATE_LIMITED' }))
})
