const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
}
const MAX_CODE_POINT = 0x10_ff_ff

/**
 * What a person wrote in Teams, as plain text: the message comes as HTML, with `<at>…</at>` for whom it mentions. Lines stay
 * lines.
 */
export function plainText(html: string): string {
  return html
    .replace(/<at\b[^<>]*>[^<]*<\/at>/gi, ' ')
    .replace(/<br\b[^<>]*>|<\/(?:p|div|li|tr|h[1-6]|blockquote|pre)>/gi, '\n')
    .replace(/<[!/a-z][^<>]*>/gi, '')
    .replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));/gi, decoded)
    .replaceAll('\u00a0', ' ')
    .replaceAll('\0', '\ufffd')
    .toWellFormed()
    .split(/\r\n?|\n/)
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
}

/** In one pass, so that `&amp;lt;` is what its writer saw: `&lt;`. */
function decoded(
  entity: string,
  decimal: string | undefined,
  hex: string | undefined,
  name: string | undefined,
): string {
  if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? entity
  const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal)
  return code <= MAX_CODE_POINT ? String.fromCodePoint(code) : entity
}
