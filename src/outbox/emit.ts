import { AppError, type ErrorCode, invalidField } from '../core/error.ts'
import { isEventType, MAX_EVENT_DATA_BYTES, MAX_HOST_ID_LENGTH } from '../core/event.ts'
import { dataProblem } from '../core/event-types.ts'

/** An event to record. */
export interface EventInput {
  readonly orgId: string
  /** Like `chat.turn.completed`: segments of letters, digits and `_` joined by dots, 128 characters at most. */
  readonly type: string
  /** A JSON object of at most 256 KiB; or its JSON text, which is then kept and signed byte for byte. */
  readonly data: Readonly<Record<string, unknown>> | string
  readonly conversationId?: string | undefined
  /** The first event of a key in an org is the only one; emitting the key again returns that event's id. */
  readonly idempotencyKey?: string | undefined
  /** Default: now. */
  readonly occurredAt?: Date | undefined
  /** W3C trace context, carried along. */
  readonly traceParent?: string | undefined
}

/** A transaction of the host, whatever library it comes from: see `adapters.ts` for those that are not like `pg`. */
export interface EmitTransaction {
  query(text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

const EMIT =
  'select patchbay.emit_event($1::text, $2::text, $3::text::json, $4::text, $5::text, $6::text::timestamptz, $7::text) as id'

/** What `patchbay.emit_event` raises; see its migration. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  PB001: 'INVALID_BODY',
  PB002: 'INVALID_BODY',
  PB003: 'PAYLOAD_TOO_LARGE',
  PB004: 'NOT_FOUND',
  PB005: 'INVALID_BODY',
}

/**
 * Records an event *in the caller's transaction*: it is delivered if and only if that transaction commits. One round trip,
 * no lock, no NOTIFY.
 *
 * Data of a type in the catalogue (`EVENT_TYPES`) must fit its schema; types of your own take any object.
 *
 * What can be checked here is checked before the database is asked, so a wrong event leaves the transaction usable; an org
 * that does not exist is found by the database, and the transaction is then aborted as by any failed statement.
 *
 * @returns the event's id
 * @throws AppError `INVALID_BODY` (type, data, an argument), `PAYLOAD_TOO_LARGE` (data), `NOT_FOUND` (org)
 */
export async function emit(tx: EmitTransaction, event: EventInput): Promise<string> {
  const values = [
    event.orgId,
    checkedType(event.type),
    checkedData(event.type, event.data),
    checkedText('conversationId', event.conversationId),
    checkedText('idempotencyKey', event.idempotencyKey),
    event.occurredAt?.toISOString() ?? null,
    event.traceParent ?? null,
  ]
  try {
    const { rows } = await tx.query(EMIT, values)
    return String(rows[0]?.id)
  } catch (error) {
    throw toAppError(error)
  }
}

function checkedType(type: string): string {
  if (isEventType(type)) return type
  throw invalidField('type', `${JSON.stringify(type).slice(0, 140)} is not an event type`)
}

function checkedData(type: string, data: EventInput['data']): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  const parsed = parsedObject(text)
  if (parsed === null) throw invalidField('data', 'must be a JSON object')
  const problem = dataProblem(type, parsed)
  if (problem !== null) throw invalidField(problem.path, problem.message)
  const bytes = Buffer.byteLength(text)
  if (bytes <= MAX_EVENT_DATA_BYTES) return text
  const message = `${bytes} bytes is over the limit of ${MAX_EVENT_DATA_BYTES}`
  throw new AppError('PAYLOAD_TOO_LARGE', `data: ${message}`, {
    details: [{ path: 'data', message }],
  })
}

function parsedObject(text: string | undefined): unknown {
  if (text === undefined || !/^\s*\{/.test(text)) return null
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function checkedText(name: string, text: string | undefined): string | null {
  if (text === undefined) return null
  if (text.length >= 1 && text.length <= MAX_HOST_ID_LENGTH) return text
  throw invalidField(name, `must have 1 to ${MAX_HOST_ID_LENGTH} characters`)
}

/** The database's error, by its code, however deep the host's library has wrapped it; any other error as it is. */
function toAppError(error: unknown): unknown {
  for (let at = error; typeof at === 'object' && at !== null; at = innerOf(at)) {
    const code = 'code' in at && typeof at.code === 'string' ? CODES[at.code] : undefined
    if (code !== undefined) return refusal(code, at)
  }
  return error
}

/** Prisma has the error of its driver adapter under `meta`; everyone else has `cause`. */
function innerOf(error: object): unknown {
  const meta = 'meta' in error ? error.meta : undefined
  if (typeof meta === 'object' && meta !== null && 'driverAdapterError' in meta) {
    return meta.driverAdapterError
  }
  return 'cause' in error ? error.cause : undefined
}

/** Its cause is the database's error alone: a library's wrapper may show the event's data. */
function refusal(code: ErrorCode, cause: object): AppError {
  const message = messageOf(cause)
  const [path = '', ...rest] = message.split(': ')
  return new AppError(code, message, { cause, details: [{ path, message: rest.join(': ') }] })
}

/** `field: problem`, as the database put it; Knex writes the statement before it. */
function messageOf(error: object): string {
  const message = 'message' in error ? String(error.message) : ''
  const statement = `${EMIT} - `
  return message.startsWith(statement) ? message.slice(statement.length) : message
}
