import { describe, expect, test } from 'vitest'
import { rotate, type StoredSecret, validSecrets } from './rotation.ts'

const NOW = Date.parse('2026-01-31T12:00:00.000Z')
const FIRST: StoredSecret[] = [{ secret: 'a', expiresAt: null }]

describe(rotate, () => {
  test('keeps the newest until now for the overlap, and older ones for theirs', () => {
    const once = rotate(FIRST, 'b', 60, NOW)?.secrets ?? []
    const twice = rotate(once, 'c', 3600, NOW + 1000)
    expect(twice).toEqual({
      secrets: [
        { secret: 'c', expiresAt: null },
        { secret: 'b', expiresAt: '2026-01-31T13:00:01.000Z' },
        { secret: 'a', expiresAt: '2026-01-31T12:01:00.000Z' },
      ],
      previousExpiresAt: '2026-01-31T13:00:01.000Z',
    })
  })

  test('without an overlap drops all older ones at once', () => {
    const once = rotate(FIRST, 'b', 60, NOW)?.secrets ?? []
    expect(rotate(once, 'c', 0, NOW)).toEqual({
      secrets: [{ secret: 'c', expiresAt: null }],
      previousExpiresAt: '2026-01-31T12:00:00.000Z',
    })
  })

  test('forgets those that have expired', () => {
    const once = rotate(FIRST, 'b', 60, NOW)?.secrets ?? []
    const later = rotate(once, 'c', 60, NOW + 60_000)?.secrets ?? []
    expect(later.map(({ secret }) => secret)).toEqual(['c', 'b'])
  })

  test('never makes an eleventh valid secret, and makes room when one expires or none is to stay', () => {
    let secrets: readonly StoredSecret[] = FIRST
    for (let n = 1; n < 10; n += 1) secrets = rotate(secrets, `s${n}`, 60, NOW)?.secrets ?? []
    expect(secrets).toHaveLength(10)
    expect(rotate(secrets, 'x', 60, NOW)).toBeNull()
    expect(rotate(secrets, 'x', 0, NOW)?.secrets).toHaveLength(1)
    expect(rotate(secrets, 'x', 60, NOW + 60_000)?.secrets).toHaveLength(2)
  })
})

test('a secret is valid before its end and not at it', () => {
  const stored = [{ secret: 'a', expiresAt: '2026-01-31T12:00:00.000Z' }]
  expect(validSecrets(stored, NOW - 1)).toHaveLength(1)
  expect(validSecrets(stored, NOW)).toHaveLength(0)
})
