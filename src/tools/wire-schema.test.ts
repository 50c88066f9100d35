import { expect, test } from 'vitest'
import { HOSTILE_SCHEMAS } from '../../test/corpus/hostile-schemas.ts'
import { makeArgsValidator } from './args.ts'
import { rootPropertiesOf } from './root-properties.ts'
import { fromWireArgs, wireNamesOf } from './wire-names.ts'
import { toWireSchema } from './wire-schema.ts'

const { validate } = makeArgsValidator()

test('a schema that every API takes is its own wire schema', () => {
  const schema = {
    type: 'object',
    title: 'Issue',
    properties: {
      title: { type: 'string', minLength: 1 },
      labels: { type: 'array', items: { type: 'string' } },
      sub: { oneOf: [{ $ref: '#/$defs/sub' }, { type: 'null' }] },
    },
    required: ['title'],
    additionalProperties: { type: 'string' },
    dependentRequired: { labels: ['sub'] },
    $defs: { sub: { type: 'object', additionalProperties: false } },
  }
  expect(toWireSchema(schema)).toEqual(schema)
})

test.each(HOSTILE_SCHEMAS.map(({ is, ...entry }) => [is, entry] as const))(
  'what fits a schema that %s fits its wire schema, and comes back as it was',
  (_, { schema, fitting }) => {
    const wireSchema = toWireSchema(schema)
    for (const args of fitting) {
      expect(validate(schema, args, 'acme')).toEqual([])
      const properties = Object.keys(rootPropertiesOf(wireSchema).properties)
      const names = namesOf(schema)
      const wireArgs = Object.fromEntries(
        Object.entries(args).map(([name, value]) => [names.get(name) ?? name, value]),
      )
      expect(validate(wireSchema, wireArgs, 'acme')).toEqual([])
      expect([...names.values()].every((name) => properties.includes(name))).toBe(true)
      expect(fromWireArgs(schema, wireArgs)).toEqual(args)
      // Whoever knows the tool's own names may use them.
      expect(fromWireArgs(schema, args)).toEqual(args)
    }
  },
)

test('the members of choices at the root are offered, and none of them is required', () => {
  const wire = toWireSchema({
    type: 'object',
    oneOf: [
      { properties: { id: { type: 'integer' } }, required: ['id'] },
      { properties: { id: { type: 'string' }, path: { type: 'string' } }, required: ['path'] },
    ],
  })
  expect(wire).toEqual({
    type: 'object',
    properties: {
      id: { anyOf: [{ type: 'integer' }, { type: 'string' }] },
      path: { type: 'string' },
    },
  })
})

test('names that no API refuses stay, and the others never take one that is there', () => {
  expect([...wireNamesOf(['user_id', 'user-id', 'user.id', 'userId', '2fa', ''])]).toEqual([
    ['user-id', 'user_id_2'],
    ['user.id', 'user_id_3'],
    ['2fa', '_2fa'],
    ['', '_'],
  ])
  const [, long = ''] = [...wireNamesOf(['a'.repeat(64), 'a'.repeat(65)])][0] ?? []
  expect(long).toBe(`${'a'.repeat(62)}_2`)
})

test('an argument by its own name goes before one by the wire name', () => {
  const schema = { type: 'object', properties: { 'user-id': { type: 'string' } } }
  const both = { user_id: 'wire', 'user-id': 'own' }
  expect(fromWireArgs(schema, both)).toEqual(both)
  expect(fromWireArgs(schema, { user_id: 'wire' })).toEqual({ 'user-id': 'wire' })
  expect(fromWireArgs(schema, 'no object')).toBe('no object')
})

function namesOf(schema: Parameters<typeof toWireSchema>[0]) {
  const own = Object.keys(rootPropertiesOf(schema).properties)
  return wireNamesOf(own)
}
