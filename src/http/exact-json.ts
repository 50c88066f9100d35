/** ES2026's source text access, which the compiler's library does not describe yet. */
interface SourceJson {
  parse(
    text: string,
    revive: (key: string, value: unknown, at: { source: string }) => unknown,
  ): unknown
  rawJSON(text: string): unknown
}

const sourceJson = JSON as unknown as SourceJson

/** Parses and prints the member `data` of a body, with numbers as they were written, also beyond a double's precision. */
export function exactData(body: string): string {
  const parsed = sourceJson.parse(body, (_key, value, at) =>
    typeof value === 'number' && String(value) !== at.source
      ? sourceJson.rawJSON(at.source)
      : value,
  )
  const isObject = typeof parsed === 'object' && parsed !== null && 'data' in parsed
  return JSON.stringify(isObject ? parsed.data : undefined)
}
