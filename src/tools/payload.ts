import { z } from 'zod'
import { writeQuery } from './parameter.ts'

/** JSON of any name: `application/json`, `application/vnd.api+json`, `application/merge-patch+json`. */
const JSON_TYPE = /^application\/(?:[a-z0-9][a-z0-9._-]*\+)?json$/

const encoding = z.strictObject({
  style: z.enum(['form', 'spaceDelimited', 'pipeDelimited', 'deepObject']).optional(),
  explode: z.boolean().optional(),
  json: z.boolean().optional(),
})

/** What an operation's body is made of. */
export const toolPayload = z.strictObject({
  mediaType: z.union([
    z.enum(['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']),
    z.string().max(100).regex(JSON_TYPE, 'must be JSON, a form or text/plain'),
  ]),
  /** The one argument that is the body; unset: all that go nowhere else. */
  arg: z.string().min(1).max(64).optional(),
  /** Without any argument for it nothing is sent. */
  isOptional: z.boolean().optional(),
  /** Of a form, how members are written that are no plain values: by default a list as the same name again, an object as JSON. */
  encoding: z.record(z.string(), encoding).optional(),
})
export type ToolPayload = z.output<typeof toolPayload>

export interface WrittenPayload {
  readonly body: string
  readonly contentType: string
}

/**
 * The body for what is given, or null for none.
 *
 * @param boundary of a multipart body: a token that no value has in it
 */
export function writePayload(
  { mediaType, encoding = {} }: ToolPayload,
  value: unknown,
  boundary: string,
): WrittenPayload {
  if (mediaType === 'text/plain') {
    return { body: textOf(value), contentType: 'text/plain; charset=utf-8' }
  }
  if (JSON_TYPE.test(mediaType)) return { body: JSON.stringify(value), contentType: mediaType }
  const members = Object.entries(typeof value === 'object' && value !== null ? value : { value })
  if (mediaType === 'multipart/form-data') {
    const parts = members.flatMap(([name, entry]) => partsOf(name, entry, encoding[name]?.json))
    const body = [...parts.map((part) => `--${boundary}\r\n${part}\r\n`), `--${boundary}--\r\n`]
    return { body: body.join(''), contentType: `multipart/form-data; boundary=${boundary}` }
  }
  const pairs = members.flatMap(([name, entry]) =>
    writeQuery({ name, ...howOf(encoding[name], entry) }, entry),
  )
  return { body: pairs.join('&'), contentType: mediaType }
}

function howOf(how: z.output<typeof encoding> | undefined, value: unknown) {
  if (how !== undefined) return how
  return { json: typeof value === 'object' && !Array.isArray(value) }
}

/** [RFC 7578 §4] */
function partsOf(name: string, value: unknown, json = false): string[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value) && !json) return value.flatMap((entry) => partsOf(name, entry))
  const disposition = `Content-Disposition: form-data; name="${escapeName(name)}"`
  const isJson = json || typeof value === 'object'
  return [
    isJson
      ? `${disposition}\r\nContent-Type: application/json\r\n\r\n${JSON.stringify(value)}`
      : `${disposition}\r\n\r\n${textOf(value)}`,
  ]
}

/** A name never ends its quotes or its line. [WHATWG HTML §4.10.21.8] */
function escapeName(name: string): string {
  return name.replace(/["\r\n]/g, (sign) => encodeURIComponent(sign))
}

function textOf(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
