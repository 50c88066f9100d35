/** Of the message's JSON in UTF-8. Teams takes about 28 KB, with what it adds. */
const MAX_MESSAGE_BYTES = 24_576

/**
 * The message with as much of its text as fits.
 *
 * @param bodyOf the message with the first so many units of the text
 */
export function fittingBody(textLength: number, bodyOf: (length: number) => string): string {
  // A unit is a byte at least; how much more it is in JSON depends on the text.
  const longest = Math.min(textLength, MAX_MESSAGE_BYTES)
  const whole = bodyOf(longest)
  if (Buffer.byteLength(whole) <= MAX_MESSAGE_BYTES) return whole
  let fits = 0
  let tooLong = longest
  while (tooLong - fits > 1) {
    const middle = Math.floor((fits + tooLong) / 2)
    if (Buffer.byteLength(bodyOf(middle)) <= MAX_MESSAGE_BYTES) fits = middle
    else tooLong = middle
  }
  return bodyOf(fits)
}

/** Says of a text that it was cut, and how long it is. */
export function cutMark(text: string): string {
  return `… (cut: ${[...text].length} characters in all)`
}
