import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { apiKeyHash, looksLikeApiKey, newApiKey } from './api-key-text.ts'

const key = newApiKey(randomBytes)

test('a key is its prefix, 32 random bytes and their checksum', () => {
  expect(key).toMatch(/^pbk_[A-Za-z0-9_-]{48}$/)
  const ofZeros = newApiKey((size) => Buffer.alloc(size))
  expect(ofZeros).toBe(`pbk_${'A'.repeat(42)}AZClWt`)
  expect(newApiKey(randomBytes)).not.toBe(key)
})

test('what is kept of it is its SHA-256', () => {
  expect(apiKeyHash(key)).toEqual(createHash('sha256').update(key).digest())
})

test('whatever begins like a key is one or nothing', () => {
  expect(looksLikeApiKey(key)).toBe(true)
  expect(looksLikeApiKey('pbk_')).toBe(true)
  expect(looksLikeApiKey('eyJhbGciOiJIUzI1NiJ9.e30.x')).toBe(false)
})

test('no key differs from another by one character, by its end, or by its spelling', () => {
  const flipped = [...key].map((char, at) => {
    const other = char === 'A' ? 'B' : 'A'
    return key.slice(0, at) + other + key.slice(at + 1)
  })
  for (const wrong of [
    ...flipped,
    '',
    'pbk_',
    key.slice(0, -1),
    `${key}A`,
    `${key}=`,
    `${key}\n`,
    ` ${key}`,
    key.toUpperCase(),
    `pbk_${'+'.repeat(48)}`,
  ]) {
    expect(apiKeyHash(wrong)).toBeNull()
  }
})
