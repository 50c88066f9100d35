import { cutText } from '../../core/cut.ts'

/** What is read of a text at all: enough for any description, and no work for one of megabytes. */
const MAX_READ = 16_384

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  '#39': "'",
  nbsp: ' ',
}

/** A description for a model: without HTML, without what cannot be stored, not longer than that. Markdown stays. */
export function plainText(text: string, maxLength: number): string {
  const plain = text
    .slice(0, MAX_READ)
    .toWellFormed()
    .replaceAll('\0', '')
    .replace(/<!--[^<>]*-->/g, '')
    .replace(/<\/?(?:br|p|div|li|ul|ol|tr|table|h[1-6])\b[^<>]*>/gi, '\n')
    .replace(/<\/?[a-z][^<>]*>/gi, '')
    .replace(/&(amp|lt|gt|quot|apos|#39|nbsp);/g, (_, name: string) => ENTITIES[name] ?? '')
    .replace(/[ \t]+/g, ' ')
    .replace(/ ?\n ?/g, '\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
  return cutText(plain, maxLength)
}
