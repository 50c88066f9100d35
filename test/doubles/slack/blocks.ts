import { z } from 'zod'
import { textLengthOf } from './rendering.ts'

export interface BlockProblem {
  readonly error: 'invalid_blocks' | 'invalid_blocks_format' | 'msg_blocks_too_long'
  readonly details: readonly string[]
}

const MAX_BLOCKS = 50
/** Of all `markdown` blocks of a message together. */
const MAX_MARKDOWN = 12_000
/** Measured, not published. */
const MAX_BLOCK_TEXT = 13_200

const plainText = (max: number) =>
  z.object({ type: z.literal('plain_text'), text: z.string().min(1).max(max) })
const mrkdwn = (max: number) =>
  z.object({ type: z.literal('mrkdwn'), text: z.string().min(1).max(max) })
const anyText = (max: number) => z.discriminatedUnion('type', [plainText(max), mrkdwn(max)])

const image = { alt_text: z.string().max(2000), image_url: z.url().max(3000) }

/** Of a button; what a text, a value and a URL may have comes from the reference of the element. */
const button = z.object({
  type: z.literal('button'),
  text: plainText(75),
  action_id: z.string().min(1).max(255).optional(),
  value: z.string().max(2000).optional(),
  url: z.url().max(3000).optional(),
  style: z.enum(['primary', 'danger']).optional(),
  confirm: z
    .object({
      title: plainText(100),
      text: anyText(300),
      confirm: plainText(30),
      deny: plainText(30),
      style: z.enum(['primary', 'danger']).optional(),
    })
    .optional(),
})

const block_id = z.string().min(1).max(255).optional()

const sectionFields = z.array(anyText(2000)).min(1).max(10)

/** [Slack, Block Kit: its limits, counted in UTF-16 units, which is the strictest way] */
const block = z.discriminatedUnion('type', [
  z
    .object({
      type: z.literal('section'),
      block_id,
      text: anyText(3000).optional(),
      fields: sectionFields.optional(),
    })
    .refine(({ text, fields }) => text !== undefined || fields !== undefined, 'text or fields'),
  z.object({ type: z.literal('header'), block_id, text: plainText(150) }),
  z.object({ type: z.literal('divider'), block_id }),
  z.object({
    type: z.literal('context'),
    block_id,
    elements: z
      .array(z.union([anyText(3000), z.object({ type: z.literal('image'), ...image })]))
      .min(1)
      .max(10),
  }),
  z.object({ type: z.literal('actions'), block_id, elements: z.array(button).min(1).max(25) }),
  z.object({ type: z.literal('markdown'), block_id, text: z.string().min(1).max(MAX_MARKDOWN) }),
  z.object({
    type: z.literal('image'),
    block_id,
    ...image,
    title: plainText(2000).optional(),
  }),
  z.object({
    type: z.literal('table'),
    block_id,
    rows: z
      .array(z.array(z.looseObject({ type: z.string() })).max(20))
      .min(1)
      .max(100),
  }),
  z.object({ type: z.literal('rich_text'), block_id, elements: z.array(z.looseObject({})) }),
])

/** Why Slack refuses these blocks; null: it takes them. Kinds of blocks that no message of ours has are refused too. */
export function blockProblem(blocks: unknown): BlockProblem | null {
  if (!Array.isArray(blocks)) {
    return { error: 'invalid_blocks_format', details: ['blocks must be an array'] }
  }
  const refused = (...details: string[]): BlockProblem => ({ error: 'invalid_blocks', details })
  if (blocks.length > MAX_BLOCKS) return refused(`no more than ${MAX_BLOCKS} items allowed`)
  const parsed = z.array(block).safeParse(blocks)
  if (!parsed.success) {
    return refused(
      ...parsed.error.issues.map(
        ({ path, message }) => `${message} [json-pointer:/blocks/${path.join('/')}]`,
      ),
    )
  }
  const ids = parsed.data.flatMap(({ block_id: id }) => id ?? [])
  if (new Set(ids).size < ids.length) return refused('block_id must be unique in a message')
  const markdown = parsed.data.filter(({ type }) => type === 'markdown')
  if (textLengthOf(markdown) > MAX_MARKDOWN) {
    return refused(`no more than ${MAX_MARKDOWN} characters of markdown in a message`)
  }
  if (textLengthOf(blocks) > MAX_BLOCK_TEXT) return { error: 'msg_blocks_too_long', details: [] }
  return null
}
