import { expect, test } from 'vitest'
import { decodeCursor, encodeCursor, toPage } from './cursor.ts'
import { AppError } from './error.ts'
import { isOrgId, makeNewId } from './id.ts'

const ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02'

test('a cursor comes back as the id it was made of', () => {
  expect(decodeCursor(encodeCursor(ID))).toBe(ID)
  expect(decodeCursor(encodeCursor('acme:eu'), isOrgId)).toBe('acme:eu')
  expect(decodeCursor(undefined)).toBeNull()
})

test.each(['', 'x', ID, encodeCursor('acme'), encodeCursor(`${ID}'`), encodeCursor(`${ID}\n`)])(
  '%j is no cursor of ours',
  (cursor) => {
    expect(() => decodeCursor(cursor)).toThrow(AppError)
  },
)

test('a page has a next one only where a row is left', () => {
  const idOf = (row: number) => String(row)
  expect(toPage([1, 2, 3], 2, idOf)).toEqual({ rows: [1, 2], nextCursor: encodeCursor('2') })
  expect(toPage([1, 2], 2, idOf)).toEqual({ rows: [1, 2], nextCursor: null })
  expect(toPage([], 2, idOf)).toEqual({ rows: [], nextCursor: null })
})

test('ids rise within a millisecond, over its 4096 and when the clock goes back', () => {
  let now = 1_800_000_000_000
  const newId = makeNewId({
    nowMs: () => now,
    randomBytes: (size) => new Uint8Array(size).fill(255),
  })
  const ids = Array.from({ length: 5000 }, newId)
  now -= 60_000
  ids.push(newId())
  now += 120_000
  ids.push(newId())
  expect(ids).toEqual(ids.toSorted())
  expect(new Set(ids).size).toBe(ids.length)
  for (const id of ids) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  }
  expect(Number.parseInt(ids.at(-1)?.replaceAll('-', '').slice(0, 12) ?? '', 16)).toBe(now)
})
