import { expect, test } from 'vitest'
import { z } from 'zod'
import { sayPlainly } from './plain-words.ts'

sayPlainly()

const schema = z.object({
  name: z.string(),
  size: z.number().int(),
  tags: z.array(z.string()),
  config: z.record(z.string(), z.string()),
  isOn: z.boolean(),
  kind: z.enum(['x', 'y']),
  version: z.literal(2),
  value: z.union([z.string(), z.number(), z.boolean()]),
  url: z.string({ error: 'must be a URL' }),
})

function said(value: unknown, by: z.ZodType = schema): Record<string, string> {
  const { error } = by.safeParse(value)
  return Object.fromEntries((error?.issues ?? []).map((one) => [one.path.join('.'), one.message]))
}

const WRONG = {
  name: 7,
  size: 1.5,
  tags: {},
  config: [],
  isOn: 'yes',
  kind: 'z',
  version: 3,
  value: null,
  url: 1,
}

test('what is missing is said to be missing, whatever it would have been', () => {
  const { url, ...others } = said({})
  expect(new Set(Object.values(others))).toEqual(new Set(['is missing']))
  expect(Object.keys(others)).toHaveLength(8)
  expect(url).toBe('must be a URL')
  expect(said(undefined)).toEqual({ '': 'is missing' })
})

test('what is of the wrong kind is told what it must be, and what kind it is', () => {
  expect(said(WRONG)).toEqual({
    name: 'must be a string, not a number',
    size: 'must be a whole number, not a number',
    tags: 'must be a list, not an object',
    config: 'must be an object, not a list',
    isOn: 'must be true or false, not a string',
    kind: 'must be one of "x", "y"',
    version: 'must be 2',
    value: 'must be a string or a number or true or false',
    url: 'must be a URL',
  })
  expect(said({ ...WRONG, name: null, tags: ['a', true] })).toMatchObject({
    name: 'must be a string, not null',
    'tags.1': 'must be a string',
  })
  expect(said('abc', z.coerce.number())).toEqual({ '': 'must be a number' })
})

test.each([
  ['', z.string().min(1), 'must have at least 1 character'],
  ['abcd', z.string().max(3), 'must have at most 3 characters'],
  [[], z.array(z.string()).min(2), 'must have at least 2 items'],
  [0, z.number().min(1), 'must be at least 1'],
  [101, z.number().int().max(100), 'must be at most 100'],
])('%j is told its size by %s', (value, by, words) => {
  expect(said(value, by)).toEqual({ '': words })
})

test('nothing that was sent is said back', () => {
  const sent = { ...WRONG, name: 471_100, kind: 'hunter2', value: ['hunter2'], version: 471_100 }
  expect(JSON.stringify(said(sent))).not.toMatch(/471100|hunter2/)
})
