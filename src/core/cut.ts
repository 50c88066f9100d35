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

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
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
