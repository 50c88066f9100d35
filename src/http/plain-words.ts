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
 * Says of what somebody sent that it is missing, of the wrong kind or of the wrong size, in words that stand behind the field's
 * name. What a schema says of itself goes first, and the rest is as zod says it. Never what was sent: it may be a secret.
 *
 * It is zod's, and so of the whole process: what answers MCP says it the same way.
 */
export function sayPlainly(): void {
  z.config({ customError: say })
}

type Issue = Parameters<z.core.$ZodErrorMap>[0]

function say(issue: Issue): string | undefined {
  if (issue.input === undefined) return 'is missing'
  switch (issue.code) {
    case 'invalid_type': {
      const expected = KINDS[issue.expected]
      return expected === undefined ? undefined : `must be ${expected}${butIs(issue.input)}`
    }
    case 'invalid_value': {
      const values = issue.values.map((value) =>
        typeof value === 'string' ? JSON.stringify(value) : String(value),
      )
      return values.length === 1 ? `must be ${values[0]}` : `must be one of ${values.join(', ')}`
    }
    case 'invalid_union':
      return sayUnion(issue.errors)
    case 'too_small':
      return saySize(issue.origin, 'at least', Number(issue.minimum), issue.inclusive !== false)
    case 'too_big':
      return saySize(issue.origin, 'at most', Number(issue.maximum), issue.inclusive !== false)
    default:
      return undefined
  }
}

/** `[]` is an object to JavaScript, and not a number is a number. */
function butIs(input: unknown): string {
  if (Number.isNaN(input)) return ''
  if (Array.isArray(input)) return ', not a list'
  const kind = KINDS[input === null ? 'null' : typeof input]
  return kind === undefined || typeof input === 'boolean' ? '' : `, not ${kind}`
}

/** Where all that it may be are kinds. */
function sayUnion(errors: readonly (readonly z.core.$ZodIssue[])[]): string | undefined {
  const kinds = new Set<string>()
  for (const [first] of errors) {
    const kind = first?.code === 'invalid_type' && first.path.length === 0 && KINDS[first.expected]
    if (typeof kind !== 'string') return undefined
    kinds.add(kind)
  }
  if (kinds.size === 0) return undefined
  return `must be ${[...kinds].join(' or ')}`
}

function saySize(
  origin: string,
  bound: 'at least' | 'at most',
  size: number,
  isInclusive: boolean,
): string | undefined {
  if (!isInclusive) return undefined
  const unit = { string: 'character', array: 'item' }[origin]
  if (unit !== undefined) return `must have ${bound} ${size} ${unit}${size === 1 ? '' : 's'}`
  return origin === 'number' || origin === 'int' ? `must be ${bound} ${size}` : undefined
}
