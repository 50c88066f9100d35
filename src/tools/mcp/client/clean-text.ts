import { cutText } from '../../../core/cut.ts'
import { NAMED_SCHEMAS } from '../../schema-keywords.ts'

/** What nobody sees and a model reads all the same: zero width, bidi, tags, soft hyphens; and what selects a glyph. */
const HIDDEN = /[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Co}\p{Cn}\p{Cs}]/gu
const CONTROL = /[\p{Cc}\u2028\u2029]+/gu

/**
 * A stranger's words, as people and models may have them: all of it can be seen, on one line, and nothing looks like markup
 * in which the host, or a model's own format, might say something.
 */
export function cleanText(text: string, maxLength: number): string {
  const visible = text
    .replace(CONTROL, ' ')
    .replace(HIDDEN, '')
    .replace(/<(?=[a-z/!?|])/gi, '‹')
    .replace(/ {2,}/g, ' ')
    .trim()
  return cutText(visible, maxLength)
}

const MAX_SCHEMA_TEXT = 1024
const WORDS = new Set(['title', 'description', '$comment'])
/** What is data of the tool's, and sent as it is written. */
const DATA = new Set(['enum', 'const', 'default', 'examples'])

/** The same for what a schema says in words; what it means is left as it is. */
export function cleanSchema(
  schema: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => {
      if (WORDS.has(key) && typeof value === 'string')
        return [key, cleanText(value, MAX_SCHEMA_TEXT)]
      if (DATA.has(key)) return [key, value]
      if (NAMED_SCHEMAS.has(key) && isObject(value)) {
        const entries = Object.entries(value).map(([name, each]) => [name, cleanEach(each)])
        return [key, Object.fromEntries(entries)]
      }
      return [key, cleanEach(value)]
    }),
  )
}

function cleanEach(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cleanEach)
  return isObject(value) ? cleanSchema(value) : value
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
