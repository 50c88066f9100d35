import { z } from 'zod'
import { invalidField } from '../core/error.ts'
import { headerProblem, headersProblem } from '../core/header.ts'
import { withoutQuery } from '../core/redact.ts'
import { toolParameter } from './parameter.ts'
import { toolPayload } from './payload.ts'

const MIN_TIMEOUT_MS = 100
const MAX_TIMEOUT_MS = 30_000
const MAX_PARAMETERS = 100

/** How a tool's endpoint is called. */
export const httpConfigSchema = z.strictObject({
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
  url: z.string().min(1).max(2048),
  headers: z.record(z.string(), z.string()).optional(),
  query: z.record(z.string(), z.string().max(4096)).optional(),
  body: z.enum(['envelope', 'args', 'none']).optional(),
  parameters: z.array(toolParameter).max(MAX_PARAMETERS).optional(),
  payload: toolPayload.optional(),
  isIdempotent: z.boolean().optional(),
  timeoutMs: z.int().min(MIN_TIMEOUT_MS).max(MAX_TIMEOUT_MS).optional(),
})
export type HttpConfig = z.output<typeof httpConfigSchema>

/** As it is stored; null: the tool is one of an MCP server. */
export function parseHttpConfig(stored: unknown): HttpConfig | null {
  return stored === null ? null : httpConfigSchema.parse(stored)
}

/**
 * `{{credentials.name}}` or `{{config.name}}`: filled in from the integration, anywhere but in a URL's host. With
 * `{{credentials.name|base64}}` it stands there encoded, as HTTP's Basic authentication wants `user:password`.
 */
export const FILLING =
  /\{\{\s*(credentials|config)\.([A-Za-z][A-Za-z0-9_]*)\s*(?:\|\s*(base64)\s*)?\}\}/g
/** `{args.name}`: filled in from the arguments, in the path and the query. */
export const ARGUMENT = /\{args\.([A-Za-z_][A-Za-z0-9_-]*)\}/g
/** Scheme and host of a URL, as far as a placeholder could stand in them. */
export const AUTHORITY = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^/?#]*/

export interface FillingRef {
  readonly kind: 'credentials' | 'config'
  readonly name: string
  readonly isEncoded: boolean
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
  if (config.payload !== undefined && config.body !== undefined) {
    throw invalidField('httpConfig.payload', 'says what the body is, and so does body: give one')
  }
  assertParameters(config)
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

function assertParameters({ url, parameters = [], headers = {}, payload }: HttpConfig): void {
  const own = Object.keys(headers).map((name) => name.toLowerCase())
  const inUrl = [...url.matchAll(ARGUMENT)].map(([, name]) => name)
  for (const [at, { arg, in: place, name }] of parameters.entries()) {
    const refuse = (message: string) => invalidField(`httpConfig.parameters.${at}`, message)
    if (parameters.findIndex((other) => other.arg === arg) !== at || arg === payload?.arg) {
      throw refuse(`takes the argument ${arg}, which goes elsewhere already`)
    }
    if (place === 'path' && !inUrl.includes(arg)) {
      throw refuse(`has no place in the URL's path: write {args.${arg}} there`)
    }
    if (place === 'cookie' && !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
      throw refuse('has a name that no cookie can have')
    }
    if (place !== 'header') continue
    const problem = headerProblem(name, 'x')
    if (problem !== null) throw refuse(`has a header name that ${problem}`)
    if (own.includes(name.toLowerCase())) throw refuse('is a header that the tool sets already')
  }
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
  'has a placeholder that nothing fills in; there are {{credentials.name}} and {{config.name}}, also with |base64, and {args.name} in the URL and the query'

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
  return [...text.matchAll(FILLING)].map(([, kind, name = '', filter]) => ({
    kind: kind === 'config' ? 'config' : 'credentials',
    name,
    isEncoded: filter !== undefined,
  }))
}
