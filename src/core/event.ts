/** Segments of letters, digits and `_`, joined by dots. */
export const EVENT_TYPE = /^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$/
export const EVENT_PATTERN = /^(\*|[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*(\.\*)?)$/
export const MAX_EVENT_TYPE_LENGTH = 128
export const MAX_EVENT_DATA_BYTES = 262_144
/** Of conversation ids and idempotency keys, which are the host's. */
export const MAX_HOST_ID_LENGTH = 256

export function isEventType(type: string): boolean {
  return type.length <= MAX_EVENT_TYPE_LENGTH && EVENT_TYPE.test(type)
}

/** `chat.turn.completed`, `tool.*` or `*`. */
export function isEventPattern(pattern: string): boolean {
  return pattern.length <= MAX_EVENT_TYPE_LENGTH + 2 && EVENT_PATTERN.test(pattern)
}

/** Whether a subscription's pattern wants an event. `tool.*` wants every type below `tool.`, at any depth. */
export function matches(pattern: string, type: string): boolean {
  if (pattern === '*') return true
  if (pattern.endsWith('.*')) return type.startsWith(pattern.slice(0, -1))
  return pattern === type
}

/** An event as it stands in the outbox; `data` is the JSON text exactly as it was emitted. */
export interface EventRecord {
  readonly id: string
  readonly orgId: string
  readonly type: string
  readonly conversationId: string | null
  readonly data: string
  /** ISO 8601, UTC, milliseconds */
  readonly occurredAt: string
}

/**
 * The body of a webhook, byte for byte: these members, in this order, `data` as it was emitted, `conversationId` left out
 * where there is none. The same event gives the same bytes on every try.
 */
export function eventBody(event: EventRecord): string {
  const conversation =
    event.conversationId === null ? '' : `,"conversationId":${JSON.stringify(event.conversationId)}`
  return `{"id":"${event.id}","type":"${event.type}","timestamp":"${event.occurredAt}","orgId":${JSON.stringify(event.orgId)}${conversation},"data":${event.data}}`
}
