import { describe, expect, test } from 'vitest'
import { makeArgsValidator } from './args.ts'
import { assertSafeSchema } from './schema-rules.ts'

const { compile } = makeArgsValidator()
const check = (schema: Record<string, unknown>) => () => assertSafeSchema(schema, compile)

function nested(levels: number): Record<string, unknown> {
  if (levels === 0) return { type: 'string' }
  return { type: 'object', properties: { inner: nested(levels - 1) } }
}

describe(assertSafeSchema, () => {
  test('takes what tools usually have', () => {
    const schema = {
      type: 'object',
      properties: {
        city: { type: 'string', pattern: '^[a-z]+(-[a-z]+)*$', example: 'bern' },
        days: { type: 'array', items: { $ref: '#/$defs/day' }, uniqueItems: true },
        pattern: { type: 'string', nullable: true },
        $ref: { type: 'string' },
      },
      required: ['city'],
      $defs: { day: { enum: ['mon', 'tue'] } },
      if: { required: ['days'] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { minProperties: 2 },
    }
    expect(check(schema)).not.toThrow()
  })

  test('takes ten levels and refuses eleven', () => {
    expect(check(nested(10))).not.toThrow()
    expect(check(nested(11))).toThrow('nested deeper than 10 levels')
  })

  test('a schema that is far too deep is refused without running out of stack', () => {
    const open = '{"type":"object","not":'
    const deep = JSON.parse(`${open.repeat(50_000)}{}${'}'.repeat(50_000)}`)
    expect(check(deep)).toThrow('nested deeper')
    const lists = JSON.parse(`{"type":"object","enum":${'['.repeat(50_000)}${']'.repeat(50_000)}}`)
    expect(check(lists)).toThrow('nested deeper')
  })

  test('more than a thousand nodes are refused', () => {
    const properties = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`p${at}`, {}]))
    expect(check({ type: 'object', properties })).toThrow('more than 1000 nodes')
  })

  test('bytes are counted, not characters', () => {
    expect(check({ type: 'object', description: 'ä'.repeat(33_000) })).toThrow('over 65536 bytes')
  })

  test.each([
    ['no type at its root', {}, '"type": "object"'],
    ['another type at its root', { type: 'array' }, '"type": "object"'],
    ['a remote reference', { properties: { a: { $ref: 'https://example.com/a' } } }, 'refers to'],
    ['a reference by file', { allOf: [{ $ref: 'other.json#/a' }] }, 'refers to'],
    [
      'a reference to nothing',
      { properties: { a: { $ref: '#/$defs/none' } } },
      'not a JSON Schema',
    ],
    ['a pattern that can hang', { properties: { a: { pattern: '((a+))+$' } } }, 'has the pattern'],
    ['such a pattern for names', { patternProperties: { '(a+)+': {} } }, 'has the pattern'],
    [
      'such a pattern where only a reference finds it',
      { properties: { a: { $ref: '#/x-hidden' } }, 'x-hidden': { pattern: '(a+)+$' } },
      'has the pattern',
    ],
    ['a validator that answers with a promise', { $async: true }, '$async'],
    ['a keyword of wrong type', { required: 'city' }, 'not a JSON Schema'],
    [
      'a dialect that is not known',
      { $schema: 'http://json-schema.org/draft-04/schema#' },
      '$schema',
    ],
    ['a member named constructor', { properties: { constructor: {} } }, 'must not name'],
  ])('%s is refused', (_, members, message) => {
    const typed = 'type' in members || Object.keys(members).length === 0
    const schema = typed ? members : { type: 'object', ...members }
    expect(check(schema)).toThrow(message)
    expect(check(schema)).toThrow(
      expect.objectContaining({
        code: 'INVALID_BODY',
        details: [expect.objectContaining({ path: 'argsSchema' })],
      }),
    )
  })
})
