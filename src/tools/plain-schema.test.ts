import { expect, test } from 'vitest'
import { isPlainSchema } from './plain-schema.ts'

const of = (schema: unknown) => ({ type: 'object', properties: { a: { items: schema } } })

test.each([
  of({ type: 'string', description: 'x', minLength: 1, maxLength: 9 }),
  of({ enum: ['a', 'b'] }),
  { type: 'object', required: ['a'], additionalProperties: false },
  { type: 'object', additionalProperties: { type: 'number', minimum: 1 } },
])('a schema that meets each value once is plain: %j', (schema) => {
  expect(isPlainSchema(schema)).toBe(true)
})

test.each([
  { pattern: '^a+$' },
  { format: 'email' },
  { $ref: '#' },
  { $dynamicRef: '#a' },
  { allOf: [{}, {}] },
  { anyOf: [{}] },
  { if: {}, else: {} },
  { not: {} },
  { contains: {} },
  { uniqueItems: true },
  { patternProperties: { a: {} } },
  { propertyNames: {} },
  { dependentSchemas: {} },
  { unevaluatedProperties: false },
  { prefixItems: [{}] },
  { items: [{}] },
  { somethingNew: 1 },
])('a schema that may take more, at any depth, is not: %j', (schema) => {
  expect(isPlainSchema(schema)).toBe(false)
  expect(isPlainSchema(of(schema))).toBe(false)
})
