import { escapeText, fitText } from './text.ts'

export const MAX_SECTION = 3000
/** Of `text`, which notifications show: what is longer Slack splits into several messages. */
const MAX_FALLBACK = 4000

interface Mrkdwn {
  readonly type: 'mrkdwn'
  readonly text: string
  /** Slack makes no mentions and channels of names that merely look like some. */
  readonly verbatim: true
}

interface PlainText {
  readonly type: 'plain_text'
  readonly text: string
}

interface Button {
  readonly type: 'button'
  readonly action_id: string
  readonly text: PlainText
  readonly value: string
  readonly style: 'primary' | 'danger'
  readonly confirm?: {
    readonly title: PlainText
    readonly text: PlainText
    readonly confirm: PlainText
    readonly deny: PlainText
    readonly style: 'primary' | 'danger'
  }
}

export type TextBlock =
  | { readonly type: 'section'; readonly text: Mrkdwn }
  | { readonly type: 'context'; readonly elements: readonly Mrkdwn[] }
  | { readonly type: 'markdown'; readonly text: string }

export type Block =
  | TextBlock
  | { readonly type: 'actions'; readonly block_id: string; readonly elements: readonly Button[] }

export interface SlackMessage {
  /** What notifications and screen readers say. */
  readonly text: string
  readonly blocks: readonly Block[]
}

/** @param text mrkdwn, escaped */
export function section(text: string): TextBlock {
  return { type: 'section', text: mrkdwn(text) }
}

/** @param text mrkdwn, escaped */
export function context(text: string): TextBlock {
  return { type: 'context', elements: [mrkdwn(text)] }
}

function mrkdwn(text: string): Mrkdwn {
  return { type: 'mrkdwn', text, verbatim: true }
}

export function plainText(text: string): PlainText {
  return { type: 'plain_text', text }
}

/** Backticks apart, so that none ends the code before its end. */
export function inCode(text: string): string {
  return escapeText(text).replaceAll('``', '`\u200b`\u200b')
}

export function missingMark(what: string, missing: number): TextBlock[] {
  if (missing === 0) return []
  const count = missing.toLocaleString('en-US')
  return [context(`… ${what} is cut here: ${count} more characters are not shown.`)]
}

/** A text as a notification shows it. */
export function fallback(text: string): string {
  const shown = fitText(text, MAX_FALLBACK - 1, escapeText)
  return shown.missing === 0 ? shown.text : `${shown.text}…`
}

export function textLength(blocks: readonly TextBlock[]): number {
  const lengths = blocks.map((block) => {
    if (block.type === 'markdown') return block.text.length
    if (block.type === 'section') return block.text.text.length
    return block.elements.reduce((sum, element) => sum + element.text.length, 0)
  })
  return lengths.reduce((sum, length) => sum + length, 0)
}
