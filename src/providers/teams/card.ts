import { z } from 'zod'
import { cutText } from '../../core/cut.ts'
import type { EventRecord } from '../../core/event.ts'
import { titleOf } from '../../core/event-types.ts'
import { membersOf } from '../../core/json-text.ts'
import { readApproval } from '../approval-event.ts'
import { approvalDraft } from './approval.ts'
import { block, type Draft, monospace, subtle, type TextBlock } from './draft.ts'
import { cutMark, fittingBody } from './fit.ts'
import { literal, printable, safeMarkdown } from './markdown.ts'

const MAX_QUOTE_LENGTH = 2000
const MAX_DATA_LENGTH = 3000
const MAX_NAME_LENGTH = 80

const notice = z.object({ text: z.string() })
const turn = z.object({
  content: z.object({ user: z.string(), assistant: z.string() }).optional(),
  via: z
    .object({
      integrationId: z.string(),
      user: z.object({ name: z.string().nullish() }).optional(),
    })
    .optional()
    // What was said is shown, whoever asked.
    .catch(undefined),
})

/**
 * The message for one event: the envelope that Workflows demand with one Adaptive Card 1.4, 24 KB at most. A text that does not
 * fit is cut and says so.
 *
 * @param integrationId of the lane: what was asked through it is an answer to somebody there
 */
export function cardBody(event: EventRecord, integrationId: string): string {
  const { head, text, toBlocks, maxLength = text.length } = draft(event, integrationId)
  // A block of its own: at the end of the text it could be taken for code, or for the beginning of some.
  const mark = subtle(cutMark(text))
  const bodyOf = (length: number) => {
    const blocks = [...head, ...toBlocks(cutText(text, length, ''))]
    return message(length < text.length ? [...blocks, mark] : blocks)
  }
  return fittingBody(Math.min(maxLength, text.length), bodyOf)
}

function draft(event: EventRecord, integrationId: string): Draft {
  const data: unknown = JSON.parse(event.data)
  if (event.type === 'app.notice') {
    const said = notice.safeParse(data)
    if (said.success && said.data.text.trim() !== '') {
      return { head: [], text: printable(said.data.text), toBlocks: spoken }
    }
  }
  const approval = readApproval(event)
  if (approval !== null) return approvalDraft(approval, event.orgId)
  const about =
    event.conversationId === null ? [] : [subtle(`Conversation ${printable(event.conversationId)}`)]
  if (event.type === 'chat.turn.completed') {
    const said = turn.safeParse(data)
    if (said.success) return turnDraft(said.data, integrationId, about)
  }
  return {
    head: [block(literal(titleOf(event.type)), { weight: 'Bolder' }), ...about],
    text: printable(dataLines(event.data)),
    toBlocks: monospace,
    maxLength: MAX_DATA_LENGTH,
  }
}

function turnDraft(
  { content, via }: z.output<typeof turn>,
  integrationId: string,
  about: readonly TextBlock[],
): Draft {
  const isOurs = via?.integrationId === integrationId
  const name = cutText(printable(via?.user?.name ?? '').trim(), MAX_NAME_LENGTH)
  const answered = name === '' ? 'Answer to a question from Teams' : `Answer to ${name}`
  const title = isOurs ? answered : 'The assistant answered'
  if (content === undefined) {
    const how = 'To have the text here, set content to "full" for this webhook.'
    const head = [block(literal(`${title}. ${how}`)), ...(isOurs ? [] : about)]
    return { head, text: '', toBlocks: () => [] }
  }
  const question = printable(content.user).trim()
  const asked = cutText(question, MAX_QUOTE_LENGTH, cutMark(question))
  const head = [
    block(literal(title), { weight: 'Bolder' }),
    // People know their own conversation; of others it is the only sign which is which.
    ...(isOurs ? [] : about),
    ...(asked === '' ? [] : [block(`“${safeMarkdown(asked)}”`, { isSubtle: true })]),
  ]
  return { head, text: printable(content.assistant), toBlocks: spoken }
}

/** Paragraphs, each a block; code as it stands, in monospace; headings, which cards do not know, in bold. */
function spoken(text: string): TextBlock[] {
  const blocks: TextBlock[] = []
  let lines: string[] = []
  let isCode = false
  const flush = () => {
    const joined = lines.join('\n')
    if (joined.trim() !== '') blocks.push(...(isCode ? monospace(joined) : [paragraph(joined)]))
    lines = []
  }
  for (const line of text.split('\n')) {
    const isFence = /^ {0,3}(?:```|~~~)/.test(line)
    const isHeading = !isCode && /^#{1,6} /.test(line)
    if (isFence || isHeading || (!isCode && line.trim() === '')) flush()
    if (isFence) isCode = !isCode
    else if (isHeading) blocks.push(paragraph(line.replace(/^#+ +/, ''), { weight: 'Bolder' }))
    else if (isCode || line.trim() !== '') lines.push(line)
  }
  flush()
  return blocks
}

function paragraph(text: string, style: Partial<TextBlock> = {}): TextBlock {
  return block(safeMarkdown(text), style)
}

/** A line for each member, as it was emitted; texts without their quotes. */
function dataLines(data: string): string {
  return membersOf(data)
    .map(({ name, value }) => `${name}: ${value.startsWith('"') ? JSON.parse(value) : value}`)
    .join('\n')
}

function message(body: readonly TextBlock[]): string {
  return JSON.stringify({
    type: 'message',
    attachments: [
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        contentUrl: null,
        content: {
          $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
          type: 'AdaptiveCard',
          version: '1.4',
          msteams: { width: 'Full' },
          body,
        },
      },
    ],
  })
}
