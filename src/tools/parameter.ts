import { z } from 'zod'

/** Of each place, how a value can be written there; the first one where nothing is said. [OpenAPI 3.1 §4.8.12.2] */
const STYLES = {
  path: ['simple', 'label', 'matrix'],
  query: ['form', 'spaceDelimited', 'pipeDelimited', 'deepObject'],
  header: ['simple'],
  cookie: ['form'],
} as const satisfies Record<string, readonly string[]>

/** One argument and where in the request it goes, written as OpenAPI's styles write it. */
export const toolParameter = z
  .strictObject({
    arg: z.string().min(1).max(64),
    in: z.enum(['path', 'query', 'header', 'cookie']),
    name: z.string().min(1).max(256),
    style: z
      .enum(['form', 'simple', 'label', 'matrix', 'spaceDelimited', 'pipeDelimited', 'deepObject'])
      .optional(),
    explode: z.boolean().optional(),
    json: z.boolean().optional(),
    allowReserved: z.boolean().optional(),
  })
  .superRefine(({ in: place, style }, context) => {
    if (style === undefined || isStyleOf(place, style)) return
    const message = `of a ${place} parameter is one of ${STYLES[place].join(', ')}`
    context.addIssue({ code: 'custom', path: ['style'], message })
  })
export type ToolParameter = z.output<typeof toolParameter>

type Style = NonNullable<ToolParameter['style']>

export function isStyleOf(place: ToolParameter['in'], style: string): style is Style {
  const styles: readonly string[] = STYLES[place]
  return styles.includes(style)
}

type Encode = (text: string) => string
type QueryStyle = Pick<ToolParameter, 'name' | 'style' | 'explode' | 'json' | 'allowReserved'>

/** `name=value` as it stands in a query or a form, one or many; none for a value that was not given. */
export function writeQuery(parameter: QueryStyle, value: unknown): string[] {
  const { style = 'form', json = false } = parameter
  const encode = parameter.allowReserved === true ? encodeAllButReserved : encodeText
  const name = encodeText(parameter.name)
  const pair = (text: string) => [`${name}=${text}`]
  if (value === undefined || value === null) return []
  if (json) return pair(encode(JSON.stringify(value)))
  if (typeof value !== 'object') return pair(encode(String(value)))
  if (style === 'deepObject') return writeDeep(parameter.name, value, encode)
  const isArray = Array.isArray(value)
  const entries = givenEntries(value)
  if (entries.length === 0) return []
  if (parameter.explode ?? style === 'form') {
    return entries.map(([key, entry]) => `${isArray ? name : encodeText(key)}=${encode(entry)}`)
  }
  const delimiter = DELIMITERS[style] ?? ','
  const parts = isArray ? entries.map(([, entry]) => entry) : entries.flat()
  return pair(parts.map(encode).join(delimiter))
}

const DELIMITERS: Readonly<Record<string, string>> = { spaceDelimited: '%20', pipeDelimited: '%7C' }

/** `name[key][0]=value`, as deep as the value goes. */
function writeDeep(name: string, value: unknown, encode: Encode): string[] {
  if (value === undefined || value === null) return []
  if (typeof value !== 'object') return [`${encodeText(name)}=${encode(String(value))}`]
  return Object.entries(value).flatMap(([key, entry]) =>
    writeDeep(`${name}[${key}]`, entry, encode),
  )
}

/** As it stands in a segment of the path; '' for a value that was not given. */
export function writePath(
  { name, style = 'simple', explode = false, json }: ToolParameter,
  value: unknown,
): string {
  if (value === undefined || value === null) return ''
  if (json === true) return encodeText(JSON.stringify(value))
  const lead = style === 'label' ? '.' : style === 'matrix' ? `;${encodeText(name)}=` : ''
  if (typeof value !== 'object') return lead + encodeText(String(value))
  const isArray = Array.isArray(value)
  const entries = givenEntries(value).map(([key, entry]) => [encodeText(key), encodeText(entry)])
  if (entries.length === 0) return ''
  if (!explode)
    return lead + (isArray ? entries.map(([, entry]) => entry) : entries.flat()).join(',')
  const own = style === 'matrix' ? encodeText(name) : null
  const parts = entries.map(([key, entry]) =>
    isArray ? (own === null ? entry : `${own}=${entry}`) : `${key}=${entry}`,
  )
  const mark = { simple: ',', label: '.', matrix: ';' }[
    style === 'label' || style === 'matrix' ? style : 'simple'
  ]
  return (style === 'simple' ? '' : mark) + parts.join(mark)
}

/** As a header's value, not encoded; null for a value that was not given. */
export function writeHeader(
  { explode = false, json }: ToolParameter,
  value: unknown,
): string | null {
  if (value === undefined || value === null) return null
  if (json === true) return JSON.stringify(value)
  if (typeof value !== 'object') return String(value)
  const entries = givenEntries(value)
  if (Array.isArray(value)) return entries.map(([, entry]) => entry).join(',')
  return (explode ? entries.map((entry) => entry.join('=')) : entries.flat()).join(',')
}

/** Members that have a value, as texts: what is nested deeper than a style can write stands as JSON. */
function givenEntries(value: object): [string, string][] {
  return Object.entries(value)
    .filter(([, entry]) => entry !== undefined && entry !== null)
    .map(([key, entry]) => [key, typeof entry === 'object' ? JSON.stringify(entry) : String(entry)])
}

/** Half a character cannot be encoded; it becomes the replacement character. */
export function encodeText(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

/** What separates names, values and the parts of a URL is encoded all the same: a value never becomes two. [RFC 6570 §3.2.3] */
function encodeAllButReserved(text: string): string {
  return encodeText(text).replace(/%(?:3A|2F|3F|40|24|2C|3B|5B|5D)/g, decodeURIComponent)
}
