import { expect, test } from 'vitest'
import { type Dice, makeDice } from '../../test/chaos/dice.ts'
import {
  anthropicToolProblem,
  geminiToolProblem,
  openAiToolProblem,
} from '../../test/doubles/tool-rules.ts'
import { type JsonSchema, makeArgsValidator } from './args.ts'
import { rootPropertiesOf } from './root-properties.ts'
import { fromWireArgs, wireNamesOf } from './wire-names.ts'
import { toWireSchema } from './wire-schema.ts'

const NAMES = ['a', 'b', 'a-b', 'a_b', '$c', 'd[e]', '', '1', 'toString', 'x'.repeat(70)]
const DRAFT_07 = 'http://json-schema.org/draft-07/schema#'

/** Any schema that a tool may have, of the keywords whose form or meaning differs from API to API. */
function anySchema(dice: Dice, isDraft07: boolean, levels: number): JsonSchema | boolean {
  const some = <Item>(items: readonly Item[]) => items.filter(() => dice.next() < 0.3)
  const inner = () =>
    (levels === 0
      ? dice.pick([{ type: 'string' }, {}, true])
      : anySchema(dice, isDraft07, levels - 1)) ?? {}
  const byName = () => Object.fromEntries(some(NAMES).map((name) => [name, inner()]))
  const refs = ['#', '#/$defs/a', '#/properties/a', '#/properties/a-b', '#/anyOf/0', '#/$defs/none']
  const keywords: Record<string, () => unknown> = {
    type: () =>
      dice.pick(['object', 'string', 'integer', 'array', ['array', 'null'], ['object', 'null']]),
    properties: byName,
    required: () => some(NAMES),
    additionalProperties: () => dice.pick([false, true, inner()]),
    patternProperties: () => ({ '^x': inner() }),
    items: () => (isDraft07 && dice.next() < 0.5 ? [inner(), inner()] : inner()),
    ...(isDraft07 ? { additionalItems: inner } : { prefixItems: () => [inner(), inner()] }),
    anyOf: () => [inner(), inner()],
    oneOf: () => [inner(), inner()],
    allOf: () => [inner()],
    not: () => ({ required: ['b'] }),
    enum: () => [{ a: 1 }, 'a', 1],
    $ref: () => dice.pick(refs.slice(0, 4)),
    ...(isDraft07
      ? {}
      : { unevaluatedProperties: () => false, dependentRequired: () => ({ 'a-b': ['a'] }) }),
    propertyNames: () => ({ maxLength: 3 }),
  }
  if (dice.next() < 0.1) return dice.next() < 0.8
  return Object.fromEntries(some(Object.entries(keywords)).map(([name, make]) => [name, make()]))
}

function anyTool(dice: Dice): JsonSchema {
  const isDraft07 = dice.next() < 0.3
  const made = anySchema(dice, isDraft07, 2)
  return {
    ...(isDraft07 ? { $schema: DRAFT_07 } : {}),
    ...(typeof made === 'boolean' ? {} : made),
    type: 'object',
    $defs: { a: anySchema(dice, isDraft07, 1) },
  }
}

function anyValue(dice: Dice, levels: number): unknown {
  const plain = dice.pick(['a', 1, null, true, 'xyz'])
  if (levels === 0 || dice.next() < 0.5) return plain
  if (dice.next() < 0.4) return [anyValue(dice, levels - 1), anyValue(dice, levels - 1)]
  return anyArgs(dice, levels - 1)
}

function anyArgs(dice: Dice, levels = 2): Record<string, unknown> {
  const names = NAMES.filter(() => dice.next() < 0.25)
  return Object.fromEntries(names.map((name) => [name, anyValue(dice, levels)]))
}

test('whatever a tool takes, its wire schema takes, and no API refuses it', () => {
  const dice = makeDice(7)
  const { compile } = makeArgsValidator()
  let fitting = 0
  let schemas = 0
  for (let at = 0; at < 200; at += 1) {
    const schema = anyTool(dice)
    if (!compiles(compile, schema)) continue
    schemas += 1
    const wire = toWireSchema(schema)
    const shown = JSON.stringify({ schema, wire })
    expect(openAiToolProblem('tools[0]', 'a', wire), shown).toBeNull()
    expect(anthropicToolProblem(0, 'a', wire), shown).toBeNull()
    expect(geminiToolProblem(0, 'a', wire), shown).toBeNull()
    const own = compile(schema).validate
    const loose = compile(wire).validate
    const names = wireNamesOf(Object.keys(rootPropertiesOf(schema).properties))
    // Of a choice at the root, each branch's members are offered as that branch describes them.
    if (['anyOf', 'oneOf', 'allOf', '$ref'].some((keyword) => Object.hasOwn(schema, keyword)))
      continue
    for (let tries = 0; tries < 20; tries += 1) {
      const args = anyArgs(dice)
      // Where an argument that nothing describes is called like a wire name, nobody can tell them apart.
      const isAmbiguous = [...names.values()].some((name) => Object.hasOwn(args, name))
      if (isAmbiguous || !fits(own, args)) continue
      fitting += 1
      const wired = Object.fromEntries(
        Object.entries(args).map(([name, value]) => [names.get(name) ?? name, value]),
      )
      expect(fits(loose, wired), `${JSON.stringify(wired)} in ${shown}`).toBe(true)
      expect(fromWireArgs(schema, wired)).toEqual(args)
    }
  }
  expect(schemas).toBeGreaterThan(40)
  expect(fitting).toBeGreaterThan(40)
})

/** Whether it is a schema at all: dice also make references that lead nowhere. */
function compiles(compile: (schema: JsonSchema) => unknown, schema: JsonSchema): boolean {
  try {
    compile(schema)
    return true
  } catch {
    return false
  }
}

/** A schema that refers to itself without end fits nothing. */
function fits(validate: (args: unknown) => unknown, args: unknown): boolean {
  try {
    return validate(args) === true
  } catch {
    return false
  }
}
