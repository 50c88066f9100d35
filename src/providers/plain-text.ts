import type { EventRecord } from '../core/event.ts'

const MAX_DATA_CHARS = 2000

/** An event in a few lines of text, for apps that show messages to people. */
export function eventLines(event: EventRecord): { readonly title: string; readonly body: string } {
  const about = event.conversationId === null ? '' : ` in conversation ${event.conversationId}`
  return { title: `${event.type}${about}`, body: readable(event.type, event.data) }
}

function readable(type: string, text: string): string {
  const data: unknown = JSON.parse(text)
  if (type === 'chat.turn.completed' && isSpoken(data)) {
    return cut(`User: ${data.content.user}\nAssistant: ${data.content.assistant}`)
  }
  return cut(JSON.stringify(data, null, 2))
}

function isSpoken(data: unknown): data is { content: { user: string; assistant: string } } {
  const content = isRecord(data) ? data.content : null
  return (
    isRecord(content) && typeof content.user === 'string' && typeof content.assistant === 'string'
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function cut(text: string): string {
  return text.length <= MAX_DATA_CHARS
    ? text
    : `${text.slice(0, MAX_DATA_CHARS - 1).toWellFormed()}…`
}
