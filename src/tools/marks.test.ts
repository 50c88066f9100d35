import { describe, expect, test } from 'vitest'
import type { JsonSchema } from './args.ts'
import { hideMarked, secretsIn } from './marks.ts'

const SECRET = { type: 'string', 'x-secret': true }
const TEXT = { type: 'string' }
const object = (properties: Record<string, unknown>, more: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  properties,
  ...more,
})

describe('what a schema marks', () => {
  const value = { pin: 'hunter22', city: 'Bern' }
  const hidden = { pin: '[secret]', city: 'Bern' }

  test.each<[string, JsonSchema]>([
    ['by x-secret', object({ pin: SECRET, city: TEXT })],
    ['by its format', object({ pin: { type: 'string', format: 'password' }, city: TEXT })],
    ['behind a reference', object({ pin: { $ref: '#/$defs/a~1b' } }, { $defs: { 'a/b': SECRET } })],
    [
      'behind an encoded reference',
      object({ pin: { $ref: '#/$defs/a%20b' } }, { $defs: { 'a b': SECRET } }),
    ],
    [
      'behind an anchor',
      object({ pin: { $ref: '#s' } }, { $defs: { a: { ...SECRET, $anchor: 's' } } }),
    ],
    [
      'behind an anchor of draft-07',
      object({ pin: { $ref: '#s' } }, { definitions: { a: { ...SECRET, $id: '#s' } } }),
    ],
    [
      'behind a reference within a schema that has an $id',
      {
        type: 'object',
        allOf: [{ $id: 'inner', $defs: { s: SECRET }, properties: { pin: { $ref: '#/$defs/s' } } }],
      },
    ],
    ['in allOf', object({}, { allOf: [object({ pin: SECRET })] })],
    ['in one branch of anyOf', object({ pin: { anyOf: [{ type: 'number' }, SECRET] } })],
    ['in one branch of oneOf', object({ pin: TEXT }, { oneOf: [{}, object({ pin: SECRET })] })],
    ['in if', object({}, { if: object({ pin: SECRET }) })],
    ['in else', object({}, { if: {}, else: object({ pin: SECRET }) })],
    ['in what depends', object({}, { dependentSchemas: { city: object({ pin: SECRET }) } })],
    ['by a pattern', object({}, { patternProperties: { '^pi': SECRET, '^ci': TEXT } })],
    ['by a whole name', object({}, { patternProperties: { '^pin$': SECRET, '^ci$': SECRET } })],
    ['as additional', object({ city: TEXT }, { additionalProperties: SECRET })],
    [
      'as additional to a pattern',
      object({}, { patternProperties: { '^city$': TEXT }, additionalProperties: SECRET }),
    ],
    ['as unevaluated', object({ city: TEXT }, { unevaluatedProperties: SECRET })],
  ])('%s is hidden, and nothing else', (_, schema) => {
    expect(hideMarked(schema, value)).toEqual(hidden)
    expect(secretsIn(schema, value)).toEqual(['hunter22'])
  })

  test.each<[string, JsonSchema, unknown]>([
    ['all', { items: SECRET }, ['[secret]', '[secret]', '[secret]']],
    ['by place', { prefixItems: [{}, SECRET] }, ['a', '[secret]', 'c']],
    ['behind places', { prefixItems: [{}], items: SECRET }, ['a', '[secret]', '[secret]']],
    ['by place in draft-07', { items: [SECRET, {}], additionalItems: {} }, ['[secret]', 'b', 'c']],
    ['additional', { items: [{}], additionalItems: SECRET }, ['a', '[secret]', '[secret]']],
    ['that a list contains', { contains: SECRET }, ['[secret]', '[secret]', '[secret]']],
  ])('in a list is hidden: %s', (_, list, expected) => {
    const schema = object({ list: { type: 'array', ...list } })
    expect(hideMarked(schema, { list: ['a', 'b', 'c'] })).toEqual({ list: expected })
  })

  test('is hidden whole where it is an object, and all texts and numbers in it are secrets', () => {
    const schema = object({ card: { type: 'object', 'x-secret': true } })
    const card = { number: 4_242_424_242, owner: { name: 'Ann Example' }, isOld: true, cvc: '123' }
    expect(hideMarked(schema, { card })).toEqual({ card: '[secret]' })
    expect(secretsIn(schema, { card })).toEqual(['4242424242', 'Ann Example'])
  })

  test('at the root hides everything', () => {
    expect(hideMarked({ 'x-secret': true }, { a: 1 })).toBe('[secret]')
  })

  test('in a schema that refers to itself is hidden at every level', () => {
    const schema = object({ pin: SECRET, next: { $ref: '#' }, all: { items: { $ref: '#' } } })
    const value = { pin: 'aaaa', next: { pin: 'bbbb', all: [{ pin: 'cccc' }] } }
    expect(hideMarked(schema, value)).toEqual({
      pin: '[secret]',
      next: { pin: '[secret]', all: [{ pin: '[secret]' }] },
    })
    expect(secretsIn(schema, value)).toEqual(['aaaa', 'bbbb', 'cccc'])
  })

  test('is hidden where a text comes in place of the object that would have it', () => {
    const schema = object({ user: object({ pin: SECRET }), note: TEXT })
    expect(hideMarked(schema, '{"user":{"pin":"hunter22"}… [cut]')).toBe('[secret]')
    expect(hideMarked(schema, { user: '{"pin":"hunter22"}', note: 'hi' })).toEqual({
      user: '[secret]',
      note: 'hi',
    })
  })

  test('may be no mark at all: "x-secret": false, a text, another format', () => {
    const schema = object({
      a: { 'x-secret': false },
      b: { 'x-secret': 'true' },
      c: { format: 'date', writeOnly: true },
      d: SECRET,
    })
    expect(hideMarked(schema, { a: 1, b: 2, c: 3 })).toEqual({ a: 1, b: 2, c: 3 })
  })

  test('is nothing without a schema', () => {
    expect(hideMarked(null, value)).toBe(value)
    expect(secretsIn(null, value)).toEqual([])
    expect(hideMarked(object({ pin: TEXT }), value)).toBe(value)
  })

  test('is found by a name that looks like part of every object', () => {
    const schema = JSON.parse(
      '{"type":"object","properties":{"__proto__":{"x-secret":true},"toString":{"type":"string"}}}',
    )
    const given = JSON.parse('{"__proto__":"hunter22","constructor":"c","toString":"t"}')
    expect(JSON.stringify(hideMarked(schema, given))).toBe(
      '{"__proto__":"[secret]","constructor":"c","toString":"t"}',
    )
  })
})

describe('a hostile schema', () => {
  test.each<[string, JsonSchema]>([
    [
      'whose references go in circles',
      object(
        { pin: SECRET },
        { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
      ),
    ],
    ['whose references lead nowhere', object({ pin: SECRET, x: { $ref: '#/nope/%zz' } })],
    ['whose references lead outside', object({ pin: SECRET, x: { $ref: 'https://example.com' } })],
    [
      'of wrong types',
      object({ pin: SECRET, x: { properties: 3, items: 'x', allOf: {}, $ref: 7 } }),
    ],
  ])('%s hides what it marks', (_, schema) => {
    expect(hideMarked(schema, { pin: 'hunter22', x: { y: ['z'] } })).toEqual({
      pin: '[secret]',
      x: { y: ['z'] },
    })
  })

  test('with choices in choices is followed in short time', () => {
    const both = (at: number) => ({ $ref: `#/$defs/${at}` })
    const defs = Object.fromEntries(
      Array.from({ length: 300 }, (_, at) => [
        at,
        { anyOf: [both(at + 1), both((at * 7) % 300)], properties: { [`p${at % 9}`]: both(at) } },
      ]),
    )
    const schema = object({ pin: SECRET }, { $defs: defs, oneOf: [both(0)] })
    const wide = Object.fromEntries(
      Array.from({ length: 9 }, (_, at) => [`p${at}`, { p1: { p2: 1 } }]),
    )
    const startedAt = performance.now()
    expect(hideMarked(schema, { ...wide, pin: 'hunter22' })).toMatchObject({ pin: '[secret]' })
    expect(performance.now() - startedAt).toBeLessThan(1000)
  })

  test('that takes too long to follow hides what is left', () => {
    const patterns = Object.fromEntries(Array.from({ length: 900 }, (_, at) => [`^p${at}-`, TEXT]))
    const schema = object({ pin: SECRET }, { patternProperties: patterns })
    const names = Array.from({ length: 20_000 }, (_, at) => [`n${at}`, 'open'] as const)
    const startedAt = performance.now()
    const shown = hideMarked(schema, Object.fromEntries([...names, ['last', 'hunter22']]))
    expect(performance.now() - startedAt).toBeLessThan(1000)
    expect(shown).toMatchObject({ n0: 'open', last: '[secret]' })
    expect(secretsIn(schema, Object.fromEntries(names))).toEqual(['open'])
  })

  test('that is too large to read hides everything', () => {
    const many = Array.from({ length: 30_000 }, () => ({}))
    expect(hideMarked({ enum: many }, { a: 'b' })).toBe('[secret]')
  })

  test('makes no more than a hundred secrets to look for', () => {
    const pins = Array.from({ length: 5000 }, (_, at) => `secret ${at}`)
    expect(secretsIn(object({ pins: SECRET }), { pins })).toHaveLength(100)
  })
})

test('a value that is nested too deep is hidden from there on', () => {
  const schema = object({ pin: SECRET })
  const deep = JSON.parse(`${'['.repeat(100_000)}1${']'.repeat(100_000)}`)
  expect(JSON.stringify(hideMarked(schema, { deep }))).toBe(
    `{"deep":${'['.repeat(63)}"[secret]"${']'.repeat(63)}}`,
  )
})
