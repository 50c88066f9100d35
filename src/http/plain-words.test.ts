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
  url: z.string({ error: 'must be a URL' }),
})

function said(value: unknown): Record<string, string> {
  const { error } = schema.safeParse(value)
  return Object.fromEntries((error?.issues ?? []).map((one) => [one.path.join('.'), one.message]))
}

test('what is missing is said to be missing, whatever it would have been', () => {
  const { url, ...others } = said({})
  expect(new Set(Object.values(others))).toEqual(new Set(['is missing']))
  expect(Object.keys(others)).toHaveLength(7)
  expect(url).toBe('must be a URL')
  expect(said(undefined)).toEqual({ '': 'is missing' })
})

test('what is of the wrong kind is told what it must be, and what it is', () => {
  const wrong = {
    name: 7,
    size: 1.5,
    tags: {},
    config: [],
    isOn: 'yes',
    kind: 'z',
    version: 3,
    url: 1,
  }
  expect(said(wrong)).toEqual({
    name: 'must be a string, not 7',
    size: 'must be a whole number, not 1.5',
    tags: 'must be a list, not an object',
    config: 'must be an object, not a list',
    isOn: 'must be true or false, not a string',
    kind: 'must be one of "x", "y"',
    version: 'must be 2',
    url: 'must be a URL',
  })
  expect(said({ ...wrong, name: null, tags: ['a', true] })).toMatchObject({
    name: 'must be a string, not null',
    'tags.1': 'must be a string, not true',
  })
})
