/** Whether jsonb takes it: no U+0000 and no lone surrogates, which JSON text shows as escapes. */
export function isStorable(value: unknown): boolean {
  return !/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(JSON.stringify(value) ?? '')
}
