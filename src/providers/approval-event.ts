import { z } from 'zod'
import { cutText } from '../core/cut.ts'
import type { EventRecord } from '../core/event.ts'
import { membersOf } from '../core/json-text.ts'

const MAX_NAME_LENGTH = 128
/** Of arguments that are laid out over lines: indentation grows with depth, and more than this is cut anyway. */
const MAX_LAID_OUT = 8000

/** What stands in place of arguments that are too long to keep. */
const CUT = /^\{\s*"cut"\s*:\s*"[\s\S]*\[cut: \d+ bytes in all\]"\s*\}$/

const asked = { tool: z.string(), userId: z.string(), source: z.string() }
const requested = z.object({ ...asked, approvalId: z.uuid(), expiresAt: z.iso.datetime() })
const decided = z.object({
  ...asked,
  state: z.enum(['approved', 'denied', 'expired']),
  decidedBy: z.string().nullable(),
})

interface Asked {
  readonly tool: string
  readonly userId: string
  /** Where it was asked for, in words of ours: `in the chat`. */
  readonly place: string
}

/** A call that waits for a person, or waited, as an app shows it: names on one line, to be escaped as the app wants it. */
export type ApprovalEvent =
  | (Asked & {
      readonly kind: 'requested'
      readonly approvalId: string
      /** JSON; null: this subscription is not told what people wrote. */
      readonly argumentsText: string | null
      /** Whether these are all arguments. */
      readonly isWhole: boolean
      readonly expiresAt: Date
    })
  | (Asked & {
      readonly kind: 'decided'
      readonly state: 'approved' | 'denied' | 'expired'
      readonly decidedBy: string | null
    })

/** null: another event, or one whose data is not what its type says. */
export function readApproval(event: EventRecord): ApprovalEvent | null {
  if (event.type === 'tool.approval.requested') {
    const read = requested.safeParse(JSON.parse(event.data))
    if (!read.success) return null
    const given = membersOf(event.data).find(({ name }) => name === 'arguments')
    const { approvalId, expiresAt } = read.data
    return {
      kind: 'requested',
      ...toAsked(read.data),
      approvalId,
      argumentsText: given === undefined ? null : toShown(given.value),
      isWhole: given !== undefined && !CUT.test(given.value),
      expiresAt: new Date(expiresAt),
    }
  }
  if (event.type === 'tool.approval.decided') {
    const read = decided.safeParse(JSON.parse(event.data))
    if (!read.success) return null
    const { state, decidedBy } = read.data
    return {
      kind: 'decided',
      ...toAsked(read.data),
      state,
      decidedBy: decidedBy === null ? null : oneLine(decidedBy),
    }
  }
  return null
}

/** `2026-01-31 13:00 UTC` */
export function utcText(time: Date): string {
  return `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

const PLACES: Readonly<Record<string, string>> = {
  chat: 'in the chat',
  api: 'by the API',
  mcp: 'by MCP',
}

function toAsked({ tool, userId, source }: z.output<z.ZodObject<typeof asked>>): Asked {
  return { tool: oneLine(tool), userId: oneLine(userId), place: placeOf(source) }
}

function placeOf(source: string): string {
  const known = Object.hasOwn(PLACES, source) ? PLACES[source] : undefined
  // The key of an app.
  return known ?? (/^[a-z][a-z0-9-]{0,62}$/.test(source) ? `in ${source}` : 'elsewhere')
}

/** Whoever named it cannot write further lines of the message. */
function oneLine(text: string): string {
  const line = text
    .toWellFormed()
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .trim()
  return cutText(line === '' ? '?' : line, MAX_NAME_LENGTH)
}

/**
 * What is approved is what is seen: numbers as they were written, and signs that are invisible or turn the direction of the
 * text as escapes. What joins emoji and letters stays.
 */
function toShown(json: string): string {
  const value: unknown = JSON.parse(json)
  const isSame = json.length <= MAX_LAID_OUT && JSON.stringify(value) === json
  const text = isSame ? JSON.stringify(value, null, 2) : json
  return text.replace(/[\p{Cf}\u007f-\u009f\u2028\u2029]/gu, (sign) =>
    sign === '\u200c' || sign === '\u200d' ? sign : escaped(sign),
  )
}

function escaped(sign: string): string {
  return sign
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}
