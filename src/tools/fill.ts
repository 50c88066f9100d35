import { invalidField } from '../core/error.ts'
import { headerProblem } from '../core/header.ts'
import { ARGUMENT, AUTHORITY, allFillingsOf, FILLING, type HttpConfig } from './http-config.ts'
import { encodeText, type ToolParameter, writeHeader, writePath, writeQuery } from './parameter.ts'
import { writePayload } from './payload.ts'

const MAX_URL_LENGTH = 2048

/** What `{{credentials.x}}` and `{{config.x}}` are filled from. */
export interface Fillings {
  readonly credentials: Readonly<Record<string, string>>
  readonly config: Readonly<Record<string, unknown>>
}

type Args = Readonly<Record<string, unknown>>
type Encode = (text: string) => string
type Parameters = readonly ToolParameter[]

/** Of a call, what can go into its request. */
interface FillingCall {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: string | null
  readonly args: Args
}

export interface FilledRequest {
  readonly url: string
  /** Without `content-type`. A credential may have made them what no header may be: to be judged before they are sent. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string | null
  readonly contentType: string | null
}

const BODILESS = new Set(['GET', 'DELETE'])

const PLACEHOLDER = new RegExp(`${FILLING.source}|${ARGUMENT.source}`, 'g')

/** The first placeholder that the integration has no value for any more, like `credentials.token`; or null. */
export function missingFilling(config: HttpConfig, fillings: Fillings): string | null {
  const missing = allFillingsOf(config).find(
    ({ kind, name }) => !Object.hasOwn(fillings[kind], name),
  )
  return missing === undefined ? null : `${missing.kind}.${missing.name}`
}

/**
 * The request of one call.
 *
 * @param boundary of a multipart body: a token that no argument can have in it, like the id of a run that has just begun
 * @throws AppError `INVALID_BODY` for arguments that cannot stand where they would
 */
export function fillRequest(
  config: HttpConfig,
  fillings: Fillings,
  call: FillingCall,
  boundary: string,
): FilledRequest {
  return {
    url: fillUrl(config, fillings, call.args),
    headers: fillHeaders(config, fillings, call.args),
    ...fillBody(config, call, boundary),
  }
}

/**
 * Every credential in the forms in which the endpoint gets it: what it echoes is cleaned of all of them. Of one that is encoded
 * as `user:password` the password is one of its own; without a password, the name.
 */
export function secretsOf(
  { credentials }: Pick<Fillings, 'credentials'>,
  config: HttpConfig | null,
): string[] {
  const encoded = (config === null ? [] : allFillingsOf(config))
    .filter(({ kind, isEncoded }) => kind === 'credentials' && isEncoded)
    .flatMap(({ name }) => {
      const secret = Object.hasOwn(credentials, name) ? (credentials[name] ?? '') : ''
      const [, user = secret, password = ''] = /^([^:]*):(.*)$/s.exec(secret) ?? []
      return [toBase64(secret), password === '' ? user : password]
    })
  return [...Object.values(credentials), ...encoded]
}

function fillHeaders(
  { headers = {}, parameters = [] }: HttpConfig,
  fillings: Fillings,
  args: Args,
) {
  const own = Object.entries(headers).map(
    ([name, value]) => [name, fillText(value, fillings)] as const,
  )
  const given = parameters.flatMap((parameter) => {
    if (parameter.in !== 'header') return []
    const value = writeHeader(parameter, argumentOf(args, parameter.arg))
    if (value === null) return []
    const problem = headerProblem(parameter.name, value)
    if (problem !== null) throw invalidField(`args.${parameter.arg}`, problem)
    return [[parameter.name, value] as const]
  })
  const cookies = parameters.flatMap((parameter) =>
    parameter.in === 'cookie' ? writeQuery(parameter, argumentOf(args, parameter.arg)) : [],
  )
  if (cookies.length === 0) return [...own, ...given]
  const set = own.find(([name]) => name.toLowerCase() === 'cookie')
  const cookie = [...(set === undefined ? [] : [set[1]]), ...cookies].join('; ')
  return [...own.filter((header) => header !== set), ...given, ['Cookie', cookie] as const]
}

function fillBody(config: HttpConfig, call: FillingCall, boundary: string) {
  const { payload } = config
  const json = (value: unknown) => ({
    body: JSON.stringify(value),
    contentType: 'application/json',
  })
  const none = { body: null, contentType: null }
  if (payload !== undefined) {
    const given =
      payload.arg === undefined ? restOf(config, call.args) : argumentOf(call.args, payload.arg)
    const isEmpty = given === undefined || (payload.arg === undefined && isEmptyObject(given))
    if (isEmpty && (payload.isOptional === true || given === undefined)) return none
    return writePayload(payload, given, boundary)
  }
  const kind = config.body ?? (BODILESS.has(config.method) ? 'none' : 'envelope')
  if (kind === 'none') return none
  if (kind === 'args') return json(call.args)
  const { orgId, userId, conversationId, args } = call
  return json({ orgId, userId, conversationId, args })
}

/** The arguments that stand nowhere else in the request. */
function restOf({ url, query = {}, parameters = [] }: HttpConfig, args: Args): Args {
  const taken = new Set([
    ...parameters.map(({ arg }) => arg),
    ...[url, ...Object.values(query)].flatMap((text) =>
      [...text.matchAll(ARGUMENT)].map(([, name]) => name),
    ),
  ])
  return Object.fromEntries(Object.entries(args).filter(([name]) => !taken.has(name)))
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

/**
 * The URL to call: arguments and fillings encoded for where they stand, so that none can leave its segment or its value.
 *
 * @throws AppError `INVALID_BODY` for an argument that cannot stand in the path: nothing, or a step like `..`, would name
 * another resource than the one that was meant
 */
export function fillUrl(config: HttpConfig, fillings: Fillings, args: Args): string {
  const parameters = config.parameters ?? []
  const origin = AUTHORITY.exec(config.url)?.[0] ?? ''
  const [, path = '', own = ''] = /^([^?]*)\??(.*)$/s.exec(config.url.slice(origin.length)) ?? []
  const segments = path
    .split('/')
    .map((segment) => fillSegment(segment, fillings, args, parameters))
  const query = [
    fill(own, fillings, args, encodeText),
    ...Object.entries(config.query ?? {}).flatMap(([name, value]) =>
      isLeftOut(value, args)
        ? []
        : [`${encodeText(name)}=${encodeText(fill(value, fillings, args, asIs))}`],
    ),
    ...parameters.flatMap((parameter) =>
      parameter.in === 'query' ? writeQuery(parameter, argumentOf(args, parameter.arg)) : [],
    ),
  ].filter((text) => text !== '')
  const url = `${origin}${segments.join('/')}${query.length === 0 ? '' : `?${query.join('&')}`}`
  if (url.length <= MAX_URL_LENGTH) return url
  throw invalidField('args', `make a URL of over ${MAX_URL_LENGTH} characters`)
}

/** A header value with its credentials and config filled in. */
export function fillText(text: string, fillings: Fillings): string {
  return text.replaceAll(FILLING, (_, kind: string, name: string, filter: string | undefined) =>
    fillingOf(fillings, kind, name, filter),
  )
}

function fillSegment(
  segment: string,
  fillings: Fillings,
  args: Args,
  parameters: Parameters,
): string {
  const styled = (name: string) =>
    parameters.find((parameter) => parameter.in === 'path' && parameter.arg === name)
  const filled = fill(segment, fillings, args, encodeText, styled)
  for (const [, name = ''] of segment.matchAll(ARGUMENT)) {
    if (isNothing(argumentOf(args, name))) {
      throw invalidField(`args.${name}`, 'must not be empty, it stands in the path of the URL')
    }
    // URL parsers take these as steps, however they are written. [WHATWG URL §4.4]
    if (/^(?:\.|%2e){1,2}$/i.test(filled)) {
      throw invalidField(`args.${name}`, 'must not be . or .., it stands in the path of the URL')
    }
  }
  return filled
}

/** What leaves its place in the path empty. */
function isNothing(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return toText(value) === ''
  return Object.values(value).every(isNothing)
}

/** A query value that is one argument, which was not given. */
function isLeftOut(value: string, args: Args): boolean {
  const [whole, name = ''] = [...value.matchAll(ARGUMENT)][0] ?? []
  return whole === value && (!Object.hasOwn(args, name) || args[name] === null)
}

/** One pass: what is filled in is never looked at again. */
function fill(
  text: string,
  fillings: Fillings,
  args: Args,
  encode: Encode,
  styled: (name: string) => ToolParameter | undefined = () => undefined,
): string {
  return text.replaceAll(
    PLACEHOLDER,
    (
      _,
      kind: string | undefined,
      name: string | undefined,
      filter: string | undefined,
      argument = '',
    ) => {
      if (kind !== undefined && name !== undefined) {
        return encode(fillingOf(fillings, kind, name, filter))
      }
      const parameter = styled(argument)
      const value = argumentOf(args, argument)
      return parameter === undefined ? encode(toText(value)) : writePath(parameter, value)
    },
  )
}

function fillingOf(
  fillings: Fillings,
  kind: string,
  name: string,
  filter: string | undefined,
): string {
  const from: Readonly<Record<string, unknown>> =
    kind === 'credentials' ? fillings.credentials : fillings.config
  const text = Object.hasOwn(from, name) ? toText(from[name]) : ''
  return filter === 'base64' ? toBase64(text) : text
}

function argumentOf(args: Args, name: string): unknown {
  return Object.hasOwn(args, name) ? args[name] : undefined
}

function toBase64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function toText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function asIs(text: string): string {
  return text
}
