import { z } from 'zod'

const KINDS: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
}

/**
 * Says of what somebody sent that it is missing, or of the wrong kind, in words that stand behind the field's name. What a
 * schema says of itself goes first, and the rest is as zod says it.
 */
export function sayPlainly(): void {
  z.config({
    customError: (issue) => {
      if (issue.input === undefined) return 'is missing'
      if (issue.code === 'invalid_value') {
        const values = issue.values.map((value) => JSON.stringify(value))
        return values.length === 1 ? `must be ${values[0]}` : `must be one of ${values.join(', ')}`
      }
      const expected = issue.code === 'invalid_type' ? KINDS[issue.expected] : undefined
      return expected === undefined ? undefined : `must be ${expected}, not ${kindOf(issue.input)}`
    },
  })
}

function kindOf(input: unknown): string {
  if (input === null) return 'null'
  if (Array.isArray(input)) return 'a list'
  if (typeof input === 'boolean') return String(input)
  return typeof input === 'number' ? String(input) : (KINDS[typeof input] ?? typeof input)
}
