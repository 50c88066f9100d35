import { type Fields, isFields } from './http.ts'

/** Whom a message calls, as Slack writes it: `!channel`, `@U123`, `!subteam^S123`. */
export type Ping = string

export interface Link {
  readonly url: string
  /** What people see in its place. */
  readonly label: string
}

export interface Button {
  readonly actionId: string
  readonly label: string
  readonly value: string | null
  /** What somebody is asked who clicks it; null: nothing. */
  readonly asks: string | null
}

export interface Rendering {
  readonly pings: readonly Ping[]
  /** Those that the text makes; an address that stands for itself is none. */
  readonly links: readonly Link[]
  /** What people read, without marks of formatting being taken out. */
  readonly shown: string
  readonly buttons: readonly Button[]
}

interface Piece {
  readonly kind: 'mrkdwn' | 'markdown' | 'plain' | 'ping' | 'link'
  readonly text: string
  readonly url?: string
}

/**
 * What a message would look like in the channel. The text beside blocks is what a notification says: it pings as the blocks
 * do, and is not shown. A mention in a span of code counts too: whoever asserts that nobody was called is on the safe side.
 * [Slack, formatting text: unescaped `<!channel> <@U…> <!subteam^S…>` ping, `<url|text>` is a link]
 */
export function renderingOf(message: Fields): Rendering {
  const text = typeof message.text === 'string' ? message.text : ''
  const markdown = typeof message.markdown_text === 'string' ? message.markdown_text : ''
  const said: Piece[] = text === '' ? [] : [{ kind: 'mrkdwn', text }]
  if (markdown !== '') said.push({ kind: 'markdown', text: markdown })
  const inBlocks = [...piecesOf(message.blocks), ...attachedPieces(message.attachments)]
  const pieces = [...said, ...inBlocks]
  const names = message.link_names === true || message.parse === 'full' ? namesIn(text) : []
  return {
    pings: [...pieces.flatMap(pingsIn), ...names],
    links: pieces.flatMap(linksIn),
    shown: (inBlocks.length > 0 ? inBlocks : said).map(shownOf).join('\n'),
    buttons: buttonsIn(message.blocks),
  }
}

/** Characters of all text in blocks. */
export function textLengthOf(blocks: unknown): number {
  return piecesOf(blocks).reduce((sum, { text }) => sum + text.length, 0)
}

const KINDS: ReadonlyMap<unknown, Piece['kind']> = new Map([
  ['mrkdwn', 'mrkdwn'],
  ['markdown', 'markdown'],
  ['plain_text', 'plain'],
  ['raw_text', 'plain'],
  ['text', 'plain'],
])

/** Every text of blocks, wherever it stands in them, and the elements of rich text that call somebody or lead somewhere. */
function piecesOf(value: unknown): Piece[] {
  if (Array.isArray(value)) return value.flatMap(piecesOf)
  if (!isFields(value)) return []
  const kind = KINDS.get(value.type)
  if (kind !== undefined && typeof value.text === 'string') return [{ kind, text: value.text }]
  switch (value.type) {
    case 'broadcast':
      return [{ kind: 'ping', text: `!${String(value.range)}` }]
    case 'user':
      return [{ kind: 'ping', text: `@${String(value.user_id)}` }]
    case 'usergroup':
      return [{ kind: 'ping', text: `!subteam^${String(value.usergroup_id)}` }]
    case 'link':
      return [{ kind: 'link', text: String(value.text ?? value.url), url: String(value.url) }]
    default:
      return Object.values(value).flatMap(piecesOf)
  }
}

/** Wherever they stand in blocks. */
function buttonsIn(value: unknown): Button[] {
  if (Array.isArray(value)) return value.flatMap(buttonsIn)
  if (!isFields(value)) return []
  if (value.type !== 'button') return Object.values(value).flatMap(buttonsIn)
  const textIn = (part: unknown) => piecesOf(part).map(shownOf).join('\n')
  return [
    {
      actionId: String(value.action_id),
      label: textIn(value.text),
      value: typeof value.value === 'string' ? value.value : null,
      asks: value.confirm === undefined ? null : textIn(value.confirm),
    },
  ]
}

/** The texts of an attachment are plain members of it. */
function attachedPieces(attachments: unknown): Piece[] {
  if (!Array.isArray(attachments)) return []
  return attachments.filter(isFields).flatMap(({ pretext, title, text, blocks }): Piece[] => {
    const texts = [pretext, title, text].filter((one) => typeof one === 'string')
    return [...texts.map((one): Piece => ({ kind: 'mrkdwn', text: one })), ...piecesOf(blocks)]
  })
}

const MARKS = /<([^<>\n]+)>/g
const MARKDOWN_LINK =
  /(?<!\\)\[((?:\\.|[^\]\\\n])*)\]\(\s*<?([a-z][a-z0-9+.-]*:[^\s)>]+)[^)\n]*\)/gi

function pingsIn({ kind, text }: Piece): Ping[] {
  if (kind === 'ping') return [text]
  if (kind !== 'mrkdwn' && kind !== 'markdown') return []
  return [...text.matchAll(MARKS)].flatMap(([, mark = '']) => {
    const [target = ''] = mark.split('|')
    return /^(!(channel|here|everyone|subteam\^\w+)|@[UW]\w+)$/.test(target) ? [target] : []
  })
}

function namesIn(text: string): Ping[] {
  return [...text.matchAll(/@(channel|here|everyone)\b/g)].map(([, name]) => `!${name}`)
}

function linksIn({ kind, text, url }: Piece): Link[] {
  if (kind === 'link') return url === undefined || url === text ? [] : [{ url, label: text }]
  if (kind === 'plain' || kind === 'ping') return []
  const marked = [...text.matchAll(MARKS)].flatMap(([, mark = '']) => {
    const [target = '', label = target] = mark.split(/\|(.*)/s)
    return /^[a-z][a-z0-9+.-]*:/i.test(target) && label !== target ? [{ url: target, label }] : []
  })
  if (kind === 'mrkdwn') return marked
  const written = [...text.matchAll(MARKDOWN_LINK)].map(([, label = '', target = '']) => ({
    url: target,
    label,
  }))
  return [...marked, ...written.filter((link) => link.url !== link.label)]
}

function shownOf({ kind, text }: Piece): string {
  if (kind === 'plain' || kind === 'link') return text
  if (kind === 'ping') return text.replace(/^!/, '@')
  return unescapeText(text.replace(MARKS, (_, mark: string) => shownMark(mark)))
}

/** [Slack, formatting text: `<!date^…|text>` is a time in the reader's zone; who cannot have that reads the text] */
function shownMark(mark: string): string {
  const [target = '', label] = mark.split(/\|(.*)/s)
  if (/^!date\^\d+\^[^^]+$/.test(target) && label !== undefined) return label
  const isName = /^[@#!]/.test(target)
  return isName
    ? `${target.replace(/^!/, '@').slice(0, 1)}${label ?? target.slice(1)}`
    : (label ?? target)
}

/** [Slack, formatting text: only `& < >` are escaped] */
function unescapeText(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}
