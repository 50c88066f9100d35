import { z } from 'zod'

/** A card as people in the channel see it. */
export interface ShownCard {
  /** The text of all blocks, a line each at least; Markdown as Teams shows it. */
  readonly text: string
  readonly links: readonly { readonly label: string; readonly url: string }[]
  /** Names that are pinged: `<at>` in a text, with the entity that makes it a mention. */
  readonly mentions: readonly string[]
  readonly version: string
  /** What Teams takes and does not show well, like a version other than 1.4. */
  readonly oddities: readonly string[]
}

export type CardReading =
  | { readonly isCard: true; readonly card: ShownCard }
  | { readonly isCard: false; readonly problem: string }

/** The envelope is mandatory: a bare card is refused. */
const envelope = z.object({
  type: z.literal('message'),
  attachments: z
    .array(
      z.object({
        contentType: z.literal('application/vnd.microsoft.card.adaptive'),
        contentUrl: z.null().optional(),
        content: z.object({
          type: z.literal('AdaptiveCard'),
          version: z.string(),
          body: z.array(z.record(z.string(), z.unknown())).min(1),
          msteams: z
            .object({ width: z.string().optional(), entities: z.array(z.unknown()).optional() })
            .optional(),
        }),
      }),
    )
    .min(1),
})
const mention = z.object({ type: z.literal('mention'), text: z.string() })
const textBlock = z.object({
  type: z.literal('TextBlock'),
  text: z.string(),
  wrap: z.boolean().optional(),
})

/** Reads a message as Workflows do, and its cards as Teams does. */
export function readCard(body: string): CardReading {
  const parsed = envelope.safeParse(parseJson(body))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    return { isCard: false, problem: `${issue?.path.join('.')}: ${issue?.message}` }
  }
  const cards = parsed.data.attachments.map(({ content }) => content)
  const blocks = cards.flatMap(({ body: elements }) => elements.flatMap(textBlocksIn))
  const entities = cards.flatMap(({ msteams }) => msteams?.entities ?? [])
  const pinged = entities
    .map((entity) => mention.safeParse(entity).data?.text)
    .filter((text) => text !== undefined && blocks.some((block) => block.text.includes(text)))
  const version = cards[0]?.version ?? ''
  const oddities = [
    ...cards
      .filter((card) => card.version !== '1.4')
      .map((card) => `version ${card.version}: only 1.4 is shown reliably`),
    ...blocks
      .filter(({ text }) => /<\/?[a-z][^<>]*>/i.test(text))
      .map(({ text }) => `HTML in a text: ${text.slice(0, 100)}`),
    ...blocks
      .filter(({ wrap, text }) => wrap !== true && text.length > 40)
      .map(({ text }) => `a text that does not wrap: ${text.slice(0, 100)}`),
  ]
  const texts = blocks.map(({ text }) => shown(text))
  return {
    isCard: true,
    card: {
      text: texts.map(({ text }) => text).join('\n'),
      links: texts.flatMap(({ links }) => links),
      mentions: pinged.map((text) => String(text)),
      version,
      oddities,
    },
  }
}

/** TextBlocks wherever they stand: in containers, columns, action sets. */
function textBlocksIn(element: unknown): z.output<typeof textBlock>[] {
  if (typeof element !== 'object' || element === null) return []
  const block = textBlock.safeParse(element)
  if (block.success) return [block.data]
  return Object.values(element).flatMap((value) =>
    Array.isArray(value) ? value.flatMap(textBlocksIn) : textBlocksIn(value),
  )
}

const NAMED: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  nbsp: '\u00a0',
}
/** In the order of CommonMark: an escape first, then a link, an entity, a mark of emphasis. */
const INLINE =
  /\\([!-/:-@[-`{-~])|\[((?:[^[\]\\]|\\.)*)\]\(\s*<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?\s*\)|&(#\d+|#x[0-9a-f]+|[a-z]+);|\*\*/gi

/** What Teams shows of a TextBlock's text: bold, links, escapes and entities are resolved, single line breaks are spaces. */
function shown(markdown: string): Pick<ShownCard, 'text' | 'links'> {
  const links: { label: string; url: string }[] = []
  const lines = markdown.replace(/\n(?!\n|\s|[-*+] |\d+[.)] )/g, (_, at: number, all: string) =>
    all[at - 1] === '\n' ? '\n' : ' ',
  )
  const text = lines.replace(
    INLINE,
    (found, escaped?: string, label?: string, url?: string, entity?: string) => {
      if (escaped !== undefined) return escaped
      if (entity !== undefined) return decoded(entity) ?? found
      if (label === undefined || url === undefined) return ''
      links.push({ label: shown(label).text, url })
      return shown(label).text
    },
  )
  return { text: text.replace(/\n{2,}/g, '\n').replaceAll('\u00a0', ' '), links }
}

function decoded(entity: string): string | undefined {
  if (!entity.startsWith('#')) return NAMED[entity.toLowerCase()]
  const isHex = /^#x/i.test(entity)
  const code = Number.parseInt(entity.slice(isHex ? 2 : 1), isHex ? 16 : 10)
  return code <= 0x10_ff_ff ? String.fromCodePoint(code) : undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // No JSON is no message.
    return undefined
  }
}
