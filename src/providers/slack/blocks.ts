import { z } from 'zod'
import type { EventRecord } from '../../core/event.ts'
import { titleOf } from '../../core/event-types.ts'
import { readApproval } from '../approval-event.ts'
import { approvalMessage } from './approval.ts'
import {
  context,
  fallback,
  inCode,
  MAX_SECTION,
  missingMark,
  type SlackMessage,
  section,
  type TextBlock,
  textLength,
} from './block-kit.ts'
import { escapeText, fitText, tameMarkdown } from './text.ts'

/** Of all blocks of a message together: Slack refuses more than about 13,200, and `markdown` blocks over 12,000. */
const MAX_TEXT = 12_000
const MAX_QUOTE = 2000
const MAX_CODE = 2000
/** For the marks that say what is missing. */
const ROOM_FOR_MARKS = 200

/** Where a message goes: by bot token to a channel; by webhook to its own, and `channel` is null. */
export interface SlackPlace {
  readonly integrationId: string
  readonly channel: string | null
}

/** The body for an incoming webhook, or for `chat.postMessage`: Block Kit within Slack's limits, the same bytes every time. */
export function renderEvent(event: EventRecord, place: SlackPlace, thread: string | null): string {
  const message = messageOf(event, place.integrationId)
  return JSON.stringify({
    ...(place.channel === null ? {} : { channel: place.channel }),
    ...(thread === null ? {} : { thread_ts: thread }),
    ...message,
    // A link that a model wrote is not fetched because it was shown.
    ...(place.channel === null ? {} : { unfurl_links: false, unfurl_media: false }),
  })
}

/** An answer for the URL that came with a command: seen by who asked alone. */
export function renderAnswer(text: string): string {
  return JSON.stringify({ response_type: 'ephemeral', ...turnMessage('', text) })
}

const turn = z.object({
  content: z.object({ user: z.string(), assistant: z.string() }).optional(),
  /** The app the question came from. */
  via: z.object({ integrationId: z.string() }).optional(),
})
const notice = z.object({ text: z.string().regex(/\S/) })

function messageOf(event: EventRecord, integrationId: string): SlackMessage {
  const data: unknown = JSON.parse(event.data)
  if (event.type === 'app.notice') {
    const said = notice.safeParse(data)
    if (said.success) return noticeMessage(said.data.text)
  }
  if (event.type === 'chat.turn.completed') {
    const said = turn.safeParse(data)
    if (said.success && said.data.content === undefined) return thinTurn(event)
    if (said.success && said.data.content !== undefined) {
      const { user, assistant } = said.data.content
      // Where it was asked, the question stands above the answer already.
      const isAskedHere = said.data.via?.integrationId === integrationId
      return turnMessage(isAskedHere ? '' : user, assistant)
    }
  }
  const approval = readApproval(event)
  return approval === null ? eventMessage(event, data) : approvalMessage(approval)
}

function noticeMessage(text: string): SlackMessage {
  const shown = fitText(text, MAX_SECTION, escapeText)
  return {
    text: fallback(text),
    blocks: [section(shown.text), ...missingMark('This text', shown.missing)],
  }
}

function thinTurn(event: EventRecord): SlackMessage {
  const text = escapeText(
    `The assistant answered${inConversation(event)}. To see here what was said, set content: "full" on this webhook.`,
  )
  return { text, blocks: [section(text)] }
}

function turnMessage(user: string, assistant: string): SlackMessage {
  if (assistant.trim() === '')
    return { text: NO_ANSWER, blocks: [...quote(user), section(NO_ANSWER)] }
  const asked = quote(user)
  const room = MAX_TEXT - ROOM_FOR_MARKS - textLength(asked)
  const answer = fitText(assistant, room, tameMarkdown)
  return {
    text: fallback(assistant),
    blocks: [
      ...asked,
      { type: 'markdown', text: answer.text },
      ...missingMark('The answer', answer.missing),
    ],
  }
}

const NO_ANSWER = 'The assistant gave an empty answer.'

function quote(user: string): TextBlock[] {
  if (user.trim() === '') return []
  const shown = fitText(user, MAX_QUOTE, (text) => `> ${escapeText(text).replaceAll('\n', '\n> ')}`)
  return [section(shown.text), ...missingMark('The question', shown.missing)]
}

function eventMessage(event: EventRecord, data: unknown): SlackMessage {
  const title = titleOf(event.type)
  const about = escapeText(`${event.type}${inConversation(event)}`)
  const code = fitText(JSON.stringify(data, null, 2), MAX_CODE, inCode)
  return {
    text: escapeText(title),
    blocks: [
      section(`*${escapeText(title)}*`),
      context(about),
      section(`\`\`\`${code.text}\`\`\``),
      ...missingMark('This data', code.missing),
    ],
  }
}

function inConversation(event: EventRecord): string {
  return event.conversationId === null
    ? ''
    : ` in conversation ${event.conversationId.toWellFormed()}`
}
