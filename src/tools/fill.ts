import { invalidField } from '../core/error.ts'
import { ARGUMENT, AUTHORITY, allFillingsOf, FILLING, type HttpConfig } from './http-config.ts'

const MAX_URL_LENGTH = 2048

/** What `{{credentials.x}}` and `{{config.x}}` are filled from. */
export interface Fillings {
  readonly credentials: Readonly<Record<string, string>>
  readonly config: Readonly<Record<string, unknown>>
}

type Args = Readonly<Record<string, unknown>>
type Encode = (text: string) => string

const PLACEHOLDER = new RegExp(`${FILLING.source}|${ARGUMENT.source}`, 'g')

/** The first placeholder that the integration has no value for any more, like `credentials.token`; or null. */
export function missingFilling(config: HttpConfig, fillings: Fillings): string | null {
  const missing = allFillingsOf(config).find(
    ({ kind, name }) => !Object.hasOwn(fillings[kind], name),
  )
  return missing === undefined ? null : `${missing.kind}.${missing.name}`
}

/**
 * The URL to call: arguments and fillings encoded for where they stand, so that none can leave its segment or its value.
 *
 * @throws AppError `INVALID_BODY` for an argument that cannot stand in the path: nothing, or a step like `..`, would name
 * another resource than the one that was meant
 */
export function fillUrl(config: HttpConfig, fillings: Fillings, args: Args): string {
  const origin = AUTHORITY.exec(config.url)?.[0] ?? ''
  const [, path = '', own = ''] = /^([^?]*)\??(.*)$/s.exec(config.url.slice(origin.length)) ?? []
  const segments = path.split('/').map((segment) => fillSegment(segment, fillings, args))
  const query = [
    fill(own, fillings, args, encodeText),
    ...Object.entries(config.query ?? {}).flatMap(([name, value]) =>
      isLeftOut(value, args)
        ? []
        : [`${encodeText(name)}=${encodeText(fill(value, fillings, args, asIs))}`],
    ),
  ].filter((text) => text !== '')
  const url = `${origin}${segments.join('/')}${query.length === 0 ? '' : `?${query.join('&')}`}`
  if (url.length <= MAX_URL_LENGTH) return url
  throw invalidField('args', `make a URL of over ${MAX_URL_LENGTH} characters`)
}

/** A header value with its credentials and config filled in. */
export function fillText(text: string, fillings: Fillings): string {
  return text.replaceAll(FILLING, (_, kind: string, name: string) =>
    fillingOf(fillings, kind, name),
  )
}

function fillSegment(segment: string, fillings: Fillings, args: Args): string {
  const filled = fill(segment, fillings, args, encodeText)
  for (const [, name = ''] of segment.matchAll(ARGUMENT)) {
    if (argumentOf(args, name) === '') {
      throw invalidField(`args.${name}`, 'must not be empty, it stands in the path of the URL')
    }
    // URL parsers take these as steps, however they are written. [WHATWG URL §4.4]
    if (/^(?:\.|%2e){1,2}$/i.test(filled)) {
      throw invalidField(`args.${name}`, 'must not be . or .., it stands in the path of the URL')
    }
  }
  return filled
}

/** A query value that is one argument, which was not given. */
function isLeftOut(value: string, args: Args): boolean {
  const [whole, name = ''] = [...value.matchAll(ARGUMENT)][0] ?? []
  return whole === value && (!Object.hasOwn(args, name) || args[name] === null)
}

/** One pass: what is filled in is never looked at again. */
function fill(text: string, fillings: Fillings, args: Args, encode: Encode): string {
  return text.replaceAll(
    PLACEHOLDER,
    (_, kind: string | undefined, name: string | undefined, argument: string | undefined) =>
      encode(
        kind === undefined || name === undefined
          ? argumentOf(args, argument ?? '')
          : fillingOf(fillings, kind, name),
      ),
  )
}

function fillingOf(fillings: Fillings, kind: string, name: string): string {
  const from: Readonly<Record<string, unknown>> =
    kind === 'credentials' ? fillings.credentials : fillings.config
  return Object.hasOwn(from, name) ? toText(from[name]) : ''
}

function argumentOf(args: Args, name: string): string {
  return Object.hasOwn(args, name) ? toText(args[name]) : ''
}

function toText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** Half a character cannot be encoded; it becomes the replacement character. */
function encodeText(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

function asIs(text: string): string {
  return text
}
