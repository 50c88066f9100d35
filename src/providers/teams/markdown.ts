import { withoutControls } from '../../core/answer.ts'

/** `[label](target)`, the target with parentheses one deep; or where else CommonMark could read a link. */
const LINK = /!?\[([^[\]\\\n]*)\]\(((?:[^\s()<>\\]|\([^\s()<>\\]*\))+)\)|\]\(/g
/** A name of two labels or more, or an address; bounded, so that a long label costs no more than its length. */
const HOST = /(?:[\p{L}\p{N}_-]{1,63}\.){1,10}[\p{L}\p{N}-]{1,63}/gu

/**
 * What a model or a person wrote, for a TextBlock: its Markdown stays (Adaptive Cards know bold, italic, lists and links), and
 * it can neither ping anybody nor hide where a link goes. HTML and `<at>` are text.
 */
export function safeMarkdown(text: string): string {
  const linked = text
    .replace(LINK, (_, label?: string, target?: string) =>
      label === undefined || target === undefined ? ']\\(' : honestLink(label, target),
    )
    // `[label]: url` names a target that another place of the block could use under a label of its own.
    .replaceAll(']:', ']\\:')
  return breakLines(escapeHtml(linked))
}

/** A text that is no Markdown: it is shown as it is. */
export function literal(text: string): string {
  const escaped = text
    .replace(/\\(?=[!-/:-@[-`{-~])/g, '\\\\')
    .replace(/[*`]/g, '\\$&')
    // Within a word it is no mark, and some of the apps show the backslash.
    .replace(/(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g, '\\_')
    .replaceAll('](', ']\\(')
    .replaceAll(']:', ']\\:')
    .replace(/^([ \t]*)([-+#]+(?=[ \t]|$)|>)/gm, '$1\\$2')
    .replace(/^([ \t]*\d{1,9})([.)](?=[ \t]|$))/gm, '$1\\$2')
  return escapeHtml(escaped)
}

/** Text that has lines of its own, as data and code: every line one of the card's, with its indentation. */
export function literalLines(text: string): string {
  return text
    .split('\n')
    .map((line) => {
      const indent = /^[ \t]*/.exec(line)?.[0] ?? ''
      const space = '\u00a0'.repeat(indent.replaceAll('\t', '    ').length)
      return space + (literal(line.slice(indent.length)) || '\u00a0')
    })
    .join('\n\n')
}

/** Characters that a card can have: no control characters, no halves of a pair. */
export function printable(text: string): string {
  return withoutControls(text.toWellFormed().replace(/\r\n?/g, '\n'))
}

function honestLink(label: string, target: string): string {
  const host = hostOf(target)
  if (label.trim() === '') return target
  return host === null || namesOtherHost(label, host)
    ? `${label} (${target})`
    : `[${label}](${target})`
}

function hostOf(target: string): string | null {
  if (!/^https?:\/\//i.test(target) || !URL.canParse(target)) return null
  return new URL(target).hostname
}

/** Whether a label reads like an address, and like another than the link's. */
function namesOtherHost(label: string, host: string): boolean {
  // What is not seen, or is only a mark, must not keep a name from being found.
  const seen = label
    .normalize('NFKC')
    .replace(/[*~`\p{Cf}]/gu, '')
    .toLowerCase()
  const names = seen.match(HOST) ?? []
  const isUrl = seen.includes('://')
  return (
    (isUrl && names.length === 0) ||
    names.some((found) => {
      const name = found.replace(/^www\./, '')
      return host !== name && !host.endsWith(`.${name}`)
    })
  )
}

/** `&` only where it would begin an entity: URLs keep theirs. */
function escapeHtml(text: string): string {
  return text.replace(/&(?=#?[a-zA-Z0-9]{1,32};)/g, '&amp;').replaceAll('<', '&lt;')
}

/** A single line break is a space in Markdown; between the items of a list it has to stay one. */
function breakLines(text: string): string {
  return text.replace(/(?<!\n)\n(?![ \t\n]|[-*+] |\d{1,9}[.)] )/g, '\n\n')
}
