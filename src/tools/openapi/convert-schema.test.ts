import { expect, test } from 'vitest'
import {
  document,
  type Json,
  json,
  planOf,
  ref,
  sending,
  toolOf,
  warningsOf,
} from '../../../test/fixtures/openapi-plan.ts'
import { makeArgsValidator } from '../args.ts'
import { schemaProblem } from '../schema-rules.ts'

const { compile, validate } = makeArgsValidator()

function post(schema: Json, schemas: Json = {}) {
  const given = {
    ...document({ '/x': { post: sending(schema) } }, { components: { schemas } }),
    openapi: '3.1.0',
  }
  const plan = planOf(given)
  return { ...toolOf(plan, 'POST /x'), warnings: warningsOf(plan, 'POST /x') }
}

test('a schema beyond any measure is kept near its root, and said to be simplified', () => {
  const schemas = Object.fromEntries(
    Array.from({ length: 200 }, (_, at) => [
      `S${at}`,
      {
        type: 'object',
        description: 'x'.repeat(300),
        properties: Object.fromEntries(
          Array.from({ length: 12 }, (_, to) => [`p${to}`, ref(`S${(at * 12 + to + 1) % 200}`)]),
        ),
      },
    ]),
  )
  const { argsSchema, warnings } = post(ref('S0'), schemas)
  expect(schemaProblem(argsSchema, compile)).toBeNull()
  expect(warnings).toEqual([
    expect.stringMatching(/arguments is too large to be kept whole: \d+ parts/),
  ])
  expect(argsSchema.properties).toMatchObject({
    p0: { $ref: '#/$defs/S1' },
    p11: { $ref: '#/$defs/S12' },
  })
})

test('a schema nested deeper than a tool’s may be takes anything below', () => {
  let schema: Json = { type: 'string' }
  for (let level = 0; level < 20; level += 1) schema = { type: 'object', properties: { a: schema } }
  const { argsSchema, warnings } = post(schema)
  expect(schemaProblem(argsSchema, compile)).toBeNull()
  expect(warnings).toHaveLength(1)
})

test('keywords that are broken or of no standard go, those that change what fits with a warning', () => {
  const { argsSchema, warnings } = post({
    type: 'object',
    required: ['a', 'a', 7, 'b'],
    properties: {
      a: { type: 'strnig', required: true, 'x-own': 1, xml: {}, example: 5, title: 'A' },
      b: { type: 'string', pattern: '(a+)+$', minLength: -1, maxLength: '5', enum: [] },
      c: { type: 'string', pattern: '(?i)x', $id: 'http://evil', $anchor: 'y', $comment: 'z' },
      d: { items: [{ type: 'string' }, { type: 'integer' }], default: 'x'.repeat(500) },
    },
  })
  expect(argsSchema).toEqual({
    type: 'object',
    properties: {
      a: { description: 'A' },
      b: { type: 'string' },
      c: { type: 'string' },
      d: { prefixItems: [{ type: 'string' }, { type: 'integer' }] },
    },
    required: ['a', 'b'],
    additionalProperties: false,
  })
  expect(warnings).toEqual([
    'type "strnig" is none of JSON Schema\'s',
    expect.stringContaining('the pattern "(a+)+$"'),
    expect.stringContaining('the pattern "(?i)x"'),
  ])
})

test('what a schema means stays, through compositions and references', () => {
  const schemas = {
    Cat: {
      type: 'object',
      required: ['kind'],
      properties: { kind: { const: 'cat' }, friend: ref('Animal') },
    },
    Dog: { type: 'object', required: ['kind'], properties: { kind: { const: 'dog' } } },
    Animal: { oneOf: [ref('Cat'), ref('Dog')], discriminator: { propertyName: 'kind' } },
    'odd name/~': { type: 'array', items: { anyOf: [{ type: 'null' }, ref('Cat')] }, maxItems: 2 },
  }
  const { argsSchema } = post(
    {
      type: 'object',
      properties: { animal: ref('Animal'), more: { $ref: '#/components/schemas/odd%20name~1~0' } },
    },
    schemas,
  )
  expect(Object.keys(Object(argsSchema.$defs))).toEqual(['Animal', 'odd_name_', 'Cat', 'Dog'])
  const fits = (args: Json) => validate(argsSchema, args, 'acme').length === 0
  expect(
    fits({ animal: { kind: 'cat', friend: { kind: 'dog' } }, more: [null, { kind: 'cat' }] }),
  ).toBe(true)
  expect(fits({ animal: { kind: 'cat', friend: { kind: 'cow' } } })).toBe(false)
  expect(fits({ more: [{ kind: 'dog' }] })).toBe(false)
})

test('a member named as no object should be makes the operation no tool, and a result no schema', () => {
  const odd = { type: 'object', properties: JSON.parse('{"constructor":{"type":"string"}}') }
  const given = document({
    '/a': { post: sending(odd) },
    '/b': { get: { responses: { 200: json(odd) } } },
  })
  const plan = planOf(given)
  expect(plan.verdicts[0]).toMatchObject({
    kind: 'skipped',
    reason: expect.stringContaining('constructor'),
  })
  expect(toolOf(plan, 'GET /b').outputSchema).toBeNull()
  expect(warningsOf(plan, 'GET /b')).toEqual([expect.stringContaining('its result is left out')])
})
