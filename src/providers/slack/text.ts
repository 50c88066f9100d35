import { signEnd } from '../../core/cut.ts'

/** For `mrkdwn` and `text`. Only these three are special there; unescaped they could ping people or fake links. */
export function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

const ENTITIES: Readonly<Record<string, string>> = { '&amp;': '&', '&lt;': '<', '&gt;': '>' }

/**
 * What a person wrote in Slack, as plain text: mentions, channels and links by their names, escapes undone, the mention of
 * the bot itself taken out.
 *
 * @param botUserId null: it is not known, and stays
 */
export function toPlain(slackText: string, botUserId: string | null): string {
  return slackText
    .replace(/<([^<>]+)>( ?)/g, (_, inner: string, space: string) => {
      const isBot = botUserId !== null && inner.split('|')[0] === `@${botUserId}`
      return isBot ? '' : named(inner) + space
    })
    .replace(/&(?:amp|lt|gt);/g, (entity) => ENTITIES[entity] ?? entity)
    .trim()
}

function named(inner: string): string {
  const bar = inner.indexOf('|')
  const target = bar < 0 ? inner : inner.slice(0, bar)
  const label = bar < 0 ? '' : inner.slice(bar + 1)
  const name = target.slice(1)
  if (target.startsWith('@')) return `@${label || name}`
  if (target.startsWith('#')) return `#${label || name}`
  if (/^!(?:here|channel|everyone)$/.test(target)) return `@${name}`
  if (target.startsWith('!')) return label || `@${name}`
  if (label === '') return target
  const isItsOwnName =
    label === target || label === target.replace(/^(?:https?:\/\/|mailto:|tel:)/, '')
  return isItsOwnName ? label : `${label} (${target})`
}

/** A link or image of one simple shape; or, of any other shape, the place that makes it one. */
const LINK =
  /!?\[([^[\]\\\n]*)\]\(([^\s<>()[\]\\]*(?:\([^\s<>()[\]\\]*\)[^\s<>()[\]\\]*)*)(?:[ \t]{1,4}(?:"[^"\n]*"|'[^'\n]*'))?[ \t]{0,4}\)|\]\(/g
/** What defines the target of a link that stands elsewhere. */
const DEFINITION = /\]:(?=[\s>]*<?(?:[a-z][a-z0-9+.-]*:|\/\/))/gi
/** Slack's own marks, which work in Markdown too: `<!channel>`, `<@U1>`, `<#C1>`, `<https://evil.example|label>`. */
const SEQUENCE = /<([!@#][^<>]*|[a-z][a-z0-9+.-]*:[^<>|]*\|[^<>]*)(>?)/gi

/**
 * A model's Markdown, so that it pings nobody and no link looks like another: where a label reads like an address of another
 * host, label and address both stand there as text, and so does every image. What is no plain link to the web (a relative one,
 * code like `list[0](x)`, a reference) gets a space that keeps it from being one: that reads the same in text and in code.
 */
export function tameMarkdown(markdown: string): string {
  return markdown
    .replace(LINK, (match: string, label?: string, target?: string) => {
      if (label === undefined || target === undefined) return '] ('
      if (!isOfTheWeb(target)) return match.replace('](', '] (')
      if (!match.startsWith('!') && isHonest(label, target)) return match
      // A label that begins with a bracket would make a link of a `]` before it.
      const shown = label.startsWith('(') ? ` ${label}` : label
      return shown.trim() === '' ? target : `${shown} (${target})`
    })
    .replace(DEFINITION, '] :')
    .replace(SEQUENCE, (_, inner: string, end: string) => `&lt;${inner}${end === '' ? '' : '&gt;'}`)
}

function isOfTheWeb(target: string): boolean {
  return /^(?:https?:\/\/|mailto:)/i.test(target) && URL.canParse(target)
}

/** A name of two labels or more, or an address; bounded, so that a long label costs no more than its length. */
const HOST_IN_WORDS =
  /(?:[\p{L}\p{N}-]{1,63}[.。]){1,10}\p{L}[\p{L}\p{N}-]{1,62}|\d{1,3}(?:\.\d{1,3}){3}/gu

/** Whether whatever a label names is where the link leads; a part of it (`bank.example` for `www.bank.example`) will do. */
function isHonest(label: string, target: string): boolean {
  // Spelt with entities it could read as anything.
  if (/&#?\w+;/.test(label)) return false
  const read = label
    .normalize('NFKC')
    .replace(/[\p{Cf}*_~`]/gu, '')
    .toLowerCase()
  if (read.trim() === '') return false
  const names = read.match(HOST_IN_WORDS) ?? []
  if (names.length === 0) return !read.includes('://')
  const host = new URL(target).hostname
  return names.every((name) => `.${host}`.endsWith(`.${name.replace(/^www\./, '')}`))
}

export interface FittedText {
  readonly text: string
  /** Characters (code points) of the original that found no room. */
  readonly missing: number
}

/**
 * As much of a text as fits when it is written out, `maxLength` UTF-16 units at most; no sign is cut in half.
 *
 * @param write escapes; what it returns grows with what it is given
 */
export function fitText(
  original: string,
  maxLength: number,
  write: (text: string) => string,
): FittedText {
  const whole = original.toWellFormed()
  const written = (length: number) => write(whole.slice(0, length))
  if (whole.length <= maxLength) {
    const text = write(whole)
    if (text.length <= maxLength) return { text, missing: 0 }
  }
  let low = 0
  let high = Math.min(whole.length, maxLength)
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (written(middle).length <= maxLength) low = middle
    else high = middle - 1
  }
  let end = signEnd(whole, low)
  // A mark that lost its end may be written longer than the whole one.
  while (written(end).length > maxLength) end = signEnd(whole, end - 1)
  return { text: written(end), missing: [...whole.slice(end)].length }
}
