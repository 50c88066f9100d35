import { z } from 'zod'
import { invalidField } from '../core/error.ts'
import { headersProblem } from '../core/header.ts'
import { withoutQuery } from '../core/redact.ts'

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

/** `{{credentials.name}}` or `{{config.name}}`: filled in from the integration, anywhere but in a URL's host. */
export const FILLING = /\{\{\s*(credentials|config)\.([A-Za-z][A-Za-z0-9_]*)\s*\}\}/g
/** `{args.name}`: filled in from the arguments, in the path and the query. */
export const ARGUMENT = /\{args\.([A-Za-z_][A-Za-z0-9_-]*)\}/g
/** Scheme and host of a URL, as far as a placeholder could stand in them. */
export const AUTHORITY = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^/?#]*/

export interface FillingRef {
  readonly kind: 'credentials' | 'config'
  readonly name: string
}

interface Known {
  readonly credentials: readonly string[]
  readonly config: readonly string[]
}

/**
 * Throws `INVALID_BODY` for a configuration that can never work: a URL that may not be called, a placeholder in its host or
 * of a form that nothing fills in, a name that the integration does not have, a header that cannot be set.
 */
export function assertHttpConfig(
  config: HttpConfig,
  known: Known,
  urlProblem: (url: string) => string | null,
): void {
  assertUrl(config.url, urlProblem)
  for (const [name, value] of Object.entries(config.query ?? {})) {
    if (name.includes('{{')) throw invalidField('httpConfig.query', 'names are not filled in')
    assertFilled(`query.${name}`, value.replaceAll(ARGUMENT, 'x'))
  }
  for (const [name, value] of Object.entries(config.headers ?? {})) {
    assertFilled(`headers.${name}`, value)
  }
  for (const [part, text] of textsOf(config)) {
    const unknown = fillingsOf(text).find(({ kind, name }) => !known[kind].includes(name))
    if (unknown !== undefined) {
      const message = `the integration has no ${unknown.kind}.${unknown.name}`
      throw invalidField(`httpConfig.${part}`, message)
    }
  }
  const plain = Object.entries(config.headers ?? {}).map(
    ([name, value]) => [name, value.replaceAll(FILLING, 'x')] as const,
  )
  const wrong = headersProblem(Object.fromEntries(plain))
  if (wrong !== null) {
    const path = wrong.name === '' ? 'httpConfig.headers' : `httpConfig.headers.${wrong.name}`
    throw invalidField(path, wrong.message)
  }
}

/** The host that is called: none of it is filled in. */
export function hostOf({ url }: HttpConfig): string {
  return new URL(AUTHORITY.exec(url)?.[0] ?? url).host
}

/** For the audit log: where a tool's calls go, and which credentials go with them. */
export function describeHttpConfig(config: HttpConfig) {
  const names = allFillingsOf(config)
    .filter(({ kind }) => kind === 'credentials')
    .map(({ name }) => name)
  return {
    method: config.method,
    url: withoutQuery(config.url),
    credentials: [...new Set(names)].toSorted(),
  }
}

/** Every placeholder that is filled in from the integration. */
export function allFillingsOf(config: HttpConfig): FillingRef[] {
  return textsOf(config).flatMap(([, text]) => fillingsOf(text))
}

function assertUrl(url: string, urlProblem: (url: string) => string | null): void {
  const refuse = (message: string) => invalidField('httpConfig.url', message)
  const authority = AUTHORITY.exec(url)?.[0] ?? url
  if (authority.includes('{')) throw refuse('must not have placeholders in its host')
  if (url.includes('#')) throw refuse('must not have a fragment')
  const plain = url.replaceAll(FILLING, 'x').replaceAll(ARGUMENT, 'x')
  if (/[{}]/.test(plain)) throw refuse(UNKNOWN_PLACEHOLDER)
  const problem = urlProblem(plain)
  if (problem !== null) throw refuse(problem)
}

const UNKNOWN_PLACEHOLDER =
  'has a placeholder that nothing fills in; there are {{credentials.name}} and {{config.name}}, and {args.name} in the URL and the query'

function assertFilled(part: string, text: string): void {
  const plain = text.replaceAll(FILLING, 'x')
  if (/\{\{|\}\}|\{args\./.test(plain)) {
    throw invalidField(`httpConfig.${part}`, UNKNOWN_PLACEHOLDER)
  }
}

/** What may have placeholders, and where it stands. */
function textsOf({ url, headers = {}, query = {} }: HttpConfig): (readonly [string, string])[] {
  return [
    ['url', url] as const,
    ...Object.entries(headers).map(([name, value]) => [`headers.${name}`, value] as const),
    ...Object.entries(query).map(([name, value]) => [`query.${name}`, value] as const),
  ]
}

function fillingsOf(text: string): FillingRef[] {
  return [...text.matchAll(FILLING)].map(([, kind, name = '']) => ({
    kind: kind === 'config' ? 'config' : 'credentials',
    name,
  }))
}
