const MAX_ARGUMENTS_BYTES = 16_384

/** Arguments as they are, or, where they are too long to keep, their beginning. */
export function cappedArguments(args: unknown, maxBytes = MAX_ARGUMENTS_BYTES): unknown {
  const text = JSON.stringify(args)
  if (Buffer.byteLength(text) <= maxBytes) return args
  // As a member of JSON the text is escaped once more.
  return { cut: cutBytes(text, maxBytes / 2) }
}

/** What a text column can hold of a text: without U+0000, and with a mark where something is missing. */
export function cutBytes(text: string, maxBytes: number): string {
  const storable = text.replaceAll('\0', '\ufffd')
  const bytes = Buffer.from(storable)
  if (bytes.length <= maxBytes) return storable
  const mark = `… [cut: ${bytes.length} bytes in all]`
  const room = maxBytes - Buffer.byteLength(mark)
  // Half a character at the end is read as the replacement character.
  return (
    bytes
      .subarray(0, room)
      .toString()
      .replace(/\ufffd$/, '') + mark
  )
}
