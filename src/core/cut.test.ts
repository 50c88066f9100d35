import { describe, expect, test } from 'vitest'
import { cutMiddle, cutText } from './cut.ts'

const FAMILY = '👨‍👩‍👧‍👦'

describe('a text that is cut in its middle', () => {
  test('stays as it is where it fits', () => {
    expect(cutMiddle('abc', 3)).toBe('abc')
    expect(cutMiddle('', 0)).toBe('')
  })

  test('keeps its beginning and its end, and says how much is missing between them', () => {
    const text = `${'a'.repeat(100_000)}${'b'.repeat(83_602)}`
    const cut = cutMiddle(text, 240)
    expect(cut).toBe(`${'a'.repeat(137)}\n[… 183,397 characters left out …]\n${'b'.repeat(68)}`)
    expect(cut.length).toBeLessThanOrEqual(240)
  })

  test('keeps about twice as much of its beginning as of its end', () => {
    const [head = '', tail = ''] = cutMiddle('x'.repeat(10_000), 3040, () => '|').split('|')
    expect(head.length + tail.length).toBe(3039)
    expect(head.length / tail.length).toBeCloseTo(2, 1)
  })

  test('is no longer than it may be, and its mark counts what is missing', () => {
    const text = Array.from({ length: 40 }, (_, at) => `${at}${FAMILY}é`).join('')
    for (let maxLength = 60; maxLength < 120; maxLength += 1) {
      const cut = cutMiddle(text, maxLength)
      expect(cut.length).toBeLessThanOrEqual(maxLength)
      const [, head = '', count = '', tail = ''] =
        /^(.*)\n\[… ([\d,]+) characters left out …\]\n(.*)$/s.exec(cut) ?? []
      expect(head.length + Number(count.replaceAll(',', '')) + tail.length).toBe(text.length)
      expect(text.startsWith(head)).toBe(true)
      expect(text.endsWith(tail)).toBe(true)
    }
  })

  test('has no part of an emoji, neither before nor behind the mark', () => {
    for (let maxLength = 20; maxLength < 44; maxLength += 1) {
      const [head = '', tail = ''] = cutMiddle(FAMILY.repeat(30), maxLength, () => '|').split('|')
      expect(head.replaceAll(FAMILY, '')).toBe('')
      expect(tail.replaceAll(FAMILY, '')).toBe('')
    }
  })

  test('with a letter under more marks than any is cut between code points', () => {
    const cut = cutMiddle(`${'👍🏽'.repeat(3)}${'\u{1d165}'.repeat(400)}`, 101, () => '|')
    expect(cut.length).toBeLessThanOrEqual(101)
    expect(cut.isWellFormed()).toBe(true)
  })

  test('too short for its mark is the beginning alone', () => {
    expect(cutMiddle('abcdefghij'.repeat(10), 5)).toBe('abcd…')
    expect(cutMiddle('abcdefghij', 0)).toBe('')
  })

  test('may have a mark of its own', () => {
    expect(cutMiddle('abcdefghijkl', 9, (count) => `<${count}>`)).toBe('abcd<7>l')
  })
})

describe('a text that is cut at its end', () => {
  test('ends with the mark, within its length', () => {
    expect(cutText('abcdef', 4)).toBe('abc…')
    expect(cutText('abcdef', 6)).toBe('abcdef')
    expect(cutText('abcdef', 2, '[cut]')).toBe('[c')
  })

  test('has no part of an emoji', () => {
    expect(cutText(`ab${FAMILY}cd`, 8)).toBe('ab…')
  })
})
