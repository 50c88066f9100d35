import { describe, expect, test } from 'vitest'
import { makeArgsValidator } from './args.ts'

const { validate: validateFor, compile } = makeArgsValidator()
let orgs = 0
const validate = (schema: Record<string, unknown>, args: unknown) => {
  orgs += 1
  return validateFor(schema, args, `org-${orgs}`)
}

const WEATHER = {
  type: 'object',
  properties: {
    city: { type: 'string', minLength: 1 },
    unit: { enum: ['c', 'f'] },
    days: { type: 'array', items: { type: 'integer' } },
    mail: { type: 'string', format: 'email' },
    kind: { const: 'now' },
    'a/b~c': { type: 'string' },
  },
  required: ['city'],
  additionalProperties: false,
}

describe('arguments', () => {
  test('that fit have nothing wrong', () => {
    expect(validate(WEATHER, { city: 'Bern', unit: 'c', days: [1, 2] })).toEqual([])
  })

  test.each([
    [{}, 'args.city', 'is missing'],
    [{ city: 1 }, 'args.city', 'must be string'],
    [{ city: 'Bern', unit: 'k' }, 'args.unit', 'must be one of ["c","f"]'],
    [{ city: 'Bern', days: [1, 'x'] }, 'args.days.1', 'must be integer'],
    [{ city: 'Bern', town: 'x' }, 'args.town', 'is not an argument of this tool'],
    [{ city: 'Bern', mail: 'x' }, 'args.mail', 'must match format "email"'],
    [{ city: 'Bern', kind: 'x' }, 'args.kind', 'must be "now"'],
    [{ city: 'Bern', 'a/b~c': 1 }, 'args.a/b~c', 'must be string'],
    [{ city: '5', unit: 5 }, 'args.unit', 'must be one of ["c","f"]'],
  ])('%j: %s %s', (args, path, message) => {
    expect(validate(WEATHER, args)).toEqual([{ path, message }])
  })

  test('are told everything that is wrong at once', () => {
    const paths = validate(WEATHER, { town: 'x', unit: 1 }).map((detail) => detail.path)
    expect(paths.sort()).toEqual(['args.city', 'args.town', 'args.unit'])
  })

  test('with very much wrong are told the first of it and how much more there is', () => {
    const details = validate(WEATHER, { city: 'Bern', days: Array(1000).fill('x') })
    expect(details).toHaveLength(21)
    expect(details.at(-1)).toEqual({ path: 'args', message: '980 more problems' })
  })

  test.each([
    ['a list', [], 'must be an object'],
    ['nothing', null, 'must be an object'],
    ['a text', 'x', 'must be an object'],
    ['over 256 KiB', { a: 'ä'.repeat(140_000) }, 'are 280008 bytes, over 262144'],
    [
      'nested without end',
      JSON.parse(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
      'are nested deeper than 64 levels',
    ],
  ])('that are %s are refused', (_, args, message) => {
    expect(validate({ type: 'object' }, args)).toEqual([{ path: 'args', message }])
  })

  test('of the prototype are not arguments', () => {
    const schema = { type: 'object', required: ['toString'] }
    expect(validate(schema, {})).toEqual([{ path: 'args.toString', message: 'is missing' }])
  })
})

describe('a schema', () => {
  test('is 2020-12 unless it says draft-07', () => {
    const list = (keywords: object) => ({
      type: 'object',
      properties: { a: { type: 'array', ...keywords } },
    })
    const args = { a: ['x', 'x'] }
    const latest = list({ prefixItems: [{ type: 'string' }, { type: 'number' }] })
    const draft7 = list({ items: [{ type: 'string' }, { type: 'number' }] })
    expect(validate(latest, args)).toHaveLength(1)
    for (const $schema of [
      'http://json-schema.org/draft-07/schema#',
      'https://json-schema.org/draft-07/schema',
    ]) {
      expect(validate({ $schema, ...draft7 }, args)).toHaveLength(1)
      expect(validate({ $schema, ...latest }, args)).toHaveLength(0)
    }
    const named = { $schema: 'https://json-schema.org/draft/2020-12/schema', ...latest }
    expect(validate(named, args)).toHaveLength(1)
  })

  test('may have keywords that nobody knows', () => {
    expect(validate({ type: 'object', example: {}, 'x-order': 1 }, {})).toEqual([])
  })

  test('with the id of another one neither clashes with it nor sees it', () => {
    const id = 'https://example.com/shared'
    expect(validate({ $id: id, type: 'object', required: ['a'] }, {})).toHaveLength(1)
    expect(validate({ $id: id, type: 'object', required: ['b'] }, {})).toHaveLength(1)
    expect(() => compile({ type: 'object', allOf: [{ $ref: id }] })).toThrow('resolve reference')
  })

  test('is compiled once while it is in use', () => {
    expect(compile({ type: 'object' })).toBe(compile({ type: 'object' }))
  })
})

describe('a check that would never end', () => {
  test('of a regular expression is ended', () => {
    const schema = { type: 'object', properties: { a: { type: 'string', pattern: '^((a+))+$' } } }
    expect(validate(schema, { a: `${'a'.repeat(40)}b` })).toEqual([
      { path: 'args', message: 'take too long to check; send less, or simpler ones' },
    ])
    expect(validate(schema, { a: 'aaa' })).toEqual([])
  })

  test('of references that double at every level is ended', () => {
    const doubled = (at: number) => ({ allOf: [ref(at + 1), ref(at + 1)] })
    const ref = (at: number) => ({ $ref: `#/$defs/d${at}` })
    const defs = Array.from({ length: 60 }, (_, at) => [`d${at}`, doubled(at)] as const)
    const schema = {
      type: 'object',
      ...ref(0),
      $defs: { ...Object.fromEntries(defs), d60: { type: 'object' } },
    }
    expect(validate(schema, {})).toHaveLength(1)
  })

  test('of a reference to itself is ended', () => {
    expect(validate({ type: 'object', anyOf: [{ $ref: '#' }] }, {})).toHaveLength(1)
  })
})

describe('a check that takes time by the square of its input', () => {
  const only = (keywords: object) => ({ type: 'object', properties: { a: keywords } })
  const tooCostly = [{ path: 'args', message: expect.stringContaining('take too long to check') }]

  test('is not begun on a text for which a pattern has not the time, and `not` does not turn that around', () => {
    const digits = '1'.repeat(4097)
    const pattern = { pattern: '\\d+$' }
    expect(validate(only(pattern), { a: digits.slice(1) })).toEqual([])
    expect(validate(only(pattern), { a: digits })).toEqual(tooCostly)
    expect(validate(only({ not: pattern }), { a: digits })).toEqual(tooCostly)
    const named = { type: 'object', patternProperties: { '\\d+$': {} } }
    expect(validate(named, { [digits]: 1 })).toEqual(tooCostly)
    // Other patterns read what there is.
    expect(validate(only({ pattern: '^\\d+$' }), { a: '1'.repeat(200_000) })).toEqual([])
  })

  test('is not begun on a URL that is none for its length', () => {
    const schema = only({ type: 'string', format: 'url' })
    expect(validate(schema, { a: 'https://example.com/a?b=c' })).toEqual([])
    expect(validate(schema, { a: `http://${':'.repeat(200_000)}` })).toEqual([
      { path: 'args.a', message: 'must match format "url"' },
    ])
  })

  test('compares items of a list by their text', () => {
    const schema = only({ type: 'array', uniqueItems: true })
    const many = Array.from({ length: 20_000 }, (_, at) => ({ at }))
    expect(validate(schema, { a: many })).toEqual([])
    const twice = [{ path: 'args.a', message: 'must not have the same item twice' }]
    expect(validate(schema, { a: [...many, { at: 19_999 }] })).toEqual(twice)
    expect(
      validate(schema, {
        a: [
          { x: 1, y: [2] },
          { y: [2], x: 1 },
        ],
      }),
    ).toEqual(twice)
    expect(validate(schema, { a: [1, '1', true, null, [1], { a: 1 }, 'null'] })).toEqual([])
    expect(validate(only({ uniqueItems: false }), { a: [1, 1] })).toEqual([])
    expect(validate(only({ uniqueItems: true }), { a: 'aa' })).toEqual([])
  })

  test('of the same org again and again is refused after a second of it', () => {
    const hangs = only({ pattern: '^((a+))+$' })
    const { validate } = makeArgsValidator()
    // Within its length, and without end all the same: each time the time limit of a check ends it.
    const args = { a: `${'a'.repeat(40)}b` }
    const often = () => {
      for (let at = 0; at < 4; at += 1) expect(validate(hangs, args, 'o')).toEqual(tooCostly)
    }
    expect(often).toThrow(expect.objectContaining({ code: 'RATE_LIMITED' }))
    expect(validate(hangs, { a: 'aaa' }, 'other')).toEqual([])
  })
})
