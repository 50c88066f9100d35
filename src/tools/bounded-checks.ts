import type { Ajv, Options } from 'ajv'
import { maxTextLength } from './pattern-rules.ts'

type RegExpEngine = NonNullable<NonNullable<Options['code']>['regExp']>

/** A text is too long to be matched with a pattern. Not an answer: `not` would turn a "no" into a "yes". */
export class TooLong extends Error {
  override readonly name = 'TooLong'
}

/** Its expression needs time by the square of the text. */
const MAX_URL_LENGTH = 4096

const makeRegExp = (pattern: string, flags: string) => {
  const expression = new RegExp(pattern, flags)
  const maxLength = maxTextLength(pattern)
  return {
    test: (text: string) => {
      if (text.length > maxLength) throw new TooLong()
      return expression.test(text)
    },
    // By this the compiler tells patterns apart.
    toString: () => String(expression),
  }
}

/** Regular expressions that match only texts for which they have the time. */
export const boundedRegExp: RegExpEngine = Object.assign(makeRegExp, { code: 'makeRegExp' })

/** Replaces what takes time by the square of its input. */
export function addBoundedKeywords(ajv: Ajv): void {
  const url = ajv.formats.url
  if (url instanceof RegExp) {
    ajv.addFormat('url', (text: string) => text.length <= MAX_URL_LENGTH && url.test(text))
  }
  ajv.removeKeyword('uniqueItems')
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    validate: (isWanted: boolean, items: readonly unknown[]) =>
      !isWanted || new Set(items.map(canonical)).size === items.length,
    error: { message: 'must not have the same item twice' },
  })
}

/** Equal for values that JSON Schema calls equal, whatever the order of their members. */
export function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  const members = Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`)
  return `{${members.join(',')}}`
}
