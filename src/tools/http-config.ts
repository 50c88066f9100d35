import { z } from 'zod'
import { invalidField } from '../core/error.ts'
import { headersProblem } from '../core/header.ts'

const MIN_TIMEOUT_MS = 100
const MAX_TIMEOUT_MS = 30_000

/** How a tool's endpoint is called. */
export const httpConfigSchema = z.strictObject({
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
  url: z.string().min(1).max(2048),
  headers: z.record(z.string(), z.string()).optional(),
  query: z.record(z.string(), z.string().max(4096)).optional(),
  body: z.enum(['envelope', 'args', 'none']).optional(),
  timeoutMs: z.int().min(MIN_TIMEOUT_MS).max(MAX_TIMEOUT_MS).optional(),
})
export type HttpConfig = z.output<typeof httpConfigSchema>

/** What `{{credentials.x}}` and `{{config.x}}` are filled from. */
export interface Fillings {
  readonly credentials: Readonly<Record<string, string>>
  readonly config: Readonly<Record<string, unknown>>
}

const PLACEHOLDER = /\{\{\s*(credentials|config)\.([A-Za-z][A-Za-z0-9_]*)\s*\}\}/g
const ARGUMENT = /\{args\.([A-Za-z_][A-Za-z0-9_-]*)\}/g
const AUTHORITY = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^/?#]*/

/**
 * Throws `INVALID_BODY` for a configuration that can never work: a URL that may not be called, a placeholder in its host, a
 * name that the integration does not have, a header that cannot be set.
 */
export function assertHttpConfig(
  config: HttpConfig,
  known: { readonly credentials: readonly string[]; readonly config: readonly string[] },
  urlProblem: (url: string) => string | null,
): void {
  const authority = AUTHORITY.exec(config.url)?.[0] ?? config.url
  if (authority.includes('{')) {
    throw invalidField('httpConfig.url', 'must not have placeholders in its host')
  }
  const plain = config.url.replace(PLACEHOLDER, 'x').replace(ARGUMENT, 'x')
  const problem = urlProblem(plain)
  if (problem !== null) throw invalidField('httpConfig.url', problem)
  const parts: [string, string][] = [
    ['url', config.url],
    ...Object.entries(config.headers ?? {}).map(([name, value]): [string, string] => [
      `headers.${name}`,
      value,
    ]),
    ...Object.entries(config.query ?? {}).map(([name, value]): [string, string] => [
      `query.${name}`,
      value,
    ]),
  ]
  for (const [part, text] of parts) {
    for (const [, kind = '', name = ''] of text.matchAll(PLACEHOLDER)) {
      const names = kind === 'credentials' ? known.credentials : known.config
      if (!names.includes(name)) {
        throw invalidField(`httpConfig.${part}`, `the integration has no ${kind}.${name}`)
      }
    }
  }
  const headers = headersProblem(
    Object.fromEntries(
      Object.entries(config.headers ?? {}).map(([name, value]) => [
        name,
        value.replace(PLACEHOLDER, 'x'),
      ]),
    ),
  )
  if (headers !== null) throw invalidField(`httpConfig.headers.${headers.name}`, headers.message)
}

/** The URL to call: arguments and fillings encoded for where they stand, so that none can leave its segment or its value. */
export function fillUrl(
  config: HttpConfig,
  fillings: Fillings,
  args: Readonly<Record<string, unknown>>,
): string {
  const filled = config.url
    .replace(PLACEHOLDER, (_, kind: string, name: string) =>
      encodeSegment(fillingOf(fillings, kind, name)),
    )
    .replace(ARGUMENT, (_, name: string) => encodeSegment(toText(args[name])))
  const query = Object.entries(config.query ?? {})
  if (query.length === 0 || !URL.canParse(filled)) return filled
  const url = new URL(filled)
  for (const [name, value] of query) {
    const text = fillText(value, fillings).replace(ARGUMENT, (_, argument: string) =>
      toText(args[argument]),
    )
    url.searchParams.append(name, text)
  }
  return url.href
}

/** A header or query value with its credentials and config filled in. */
export function fillText(text: string, fillings: Fillings): string {
  return text.replace(PLACEHOLDER, (_, kind: string, name: string) =>
    fillingOf(fillings, kind, name),
  )
}

function fillingOf(fillings: Fillings, kind: string, name: string): string {
  return kind === 'credentials' ? (fillings.credentials[name] ?? '') : toText(fillings.config[name])
}

/** `.` and `..` would be taken as steps in the path even when encoded; a URL parser must not see them. */
function encodeSegment(text: string): string {
  const encoded = encodeURIComponent(text)
  return /^\.{1,2}$/.test(encoded) ? encoded.replaceAll('.', '%252E') : encoded
}

function toText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
