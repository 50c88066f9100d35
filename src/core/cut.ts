const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })
/** Longer than what people write as one sign: families, flags, letters with many marks. */
const LONGEST_SIGN = 64

/**
 * The beginning of a text, `maxLength` UTF-16 units at most, with a mark at its end where something is missing. What a person
 * sees as one sign (an emoji of several code points, a letter with its accents) stays whole or goes.
 */
export function cutText(text: string, maxLength: number, mark = '…'): string {
  if (text.length <= maxLength) return text
  const room = maxLength - mark.length
  if (room <= 0) return mark.slice(0, maxLength)
  return text.slice(0, signEnd(text, room)) + mark
}

/** Two thirds of what is kept are from the beginning: that says what a text is, and its end how it came out. */
const HEAD_SHARE = 2 / 3

/** Says how many UTF-16 units are missing. */
function leftOutMark(leftOut: number): string {
  return `\n[… ${leftOut.toLocaleString('en')} characters left out …]\n`
}

/**
 * The beginning and the end of a text, `maxLength` UTF-16 units at most with the mark between them, which says how many are
 * missing. Signs stay whole or go, as in `cutText`.
 *
 * @param mark never longer for a smaller number
 */
export function cutMiddle(
  text: string,
  maxLength: number,
  mark: (leftOut: number) => string = leftOutMark,
): string {
  if (text.length <= maxLength) return text
  const room = maxLength - mark(text.length).length
  if (room <= 0) return cutText(text, maxLength)
  const headEnd = signEnd(text, Math.ceil(room * HEAD_SHARE))
  const tailStart = signStart(text, text.length - Math.floor(room * (1 - HEAD_SHARE)))
  return text.slice(0, headEnd) + mark(tailStart - headEnd) + text.slice(tailStart)
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff
}

/** Where the last whole sign ends that lies within the first `length` units. */
export function signEnd(text: string, length: number): number {
  if (length >= text.length) return text.length
  const from = Math.max(0, length - LONGEST_SIGN)
  const near = text.slice(from, length + LONGEST_SIGN)
  const sign = graphemes.segment(near).containing(length - from)
  const index = sign?.index ?? length - from
  if (index > 0 || from === 0) return from + index
  // A sign longer than any is cut where code points end.
  return isHighSurrogate(text.charCodeAt(length - 1)) ? length - 1 : length
}

/** Where the first whole sign begins that lies behind the first `length` units. */
function signStart(text: string, length: number): number {
  if (length >= text.length) return text.length
  const from = Math.max(0, length - LONGEST_SIGN)
  const near = text.slice(from, length + LONGEST_SIGN)
  const sign = graphemes.segment(near).containing(length - from)
  if (sign === undefined || sign.index === length - from) return length
  const end = from + sign.index + sign.segment.length
  const isSeenWhole = end < from + near.length || end === text.length
  if (isSeenWhole) return end
  return isLowSurrogate(text.charCodeAt(length)) ? length + 1 : length
}
