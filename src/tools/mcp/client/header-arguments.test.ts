import { expect, test } from 'vitest'
import { headerArgumentProblem } from './header-arguments.ts'

const object = (properties: object) => ({ type: 'object', properties })
const header = (type: string, name: unknown = 'Region') => ({ type, 'x-mcp-header': name })

test.each([
  [object({ a: { type: 'string' } })],
  [object({ region: header('string') })],
  [object({ where: object({ region: header('integer'), b: header('boolean', 'B') }) })],
  [object({ 'x-mcp-header': { type: 'string' } })],
])('%j is well', (schema) => {
  expect(headerArgumentProblem(schema)).toBeNull()
})

test.each([
  [{ ...object({}), 'x-mcp-header': 'A' }],
  [object({ a: header('number') })],
  [object({ a: header('object') })],
  [object({ a: header('string', 7) })],
  [object({ a: header('string', 'a b') })],
  [object({ a: header('string', 'a\r\nb') })],
  [object({ a: header('string', 'A'), b: header('string', 'a') })],
  [object({ a: { type: 'array', items: header('string') } })],
  [{ type: 'object', anyOf: [object({ a: header('string') })] }],
  [{ type: 'object', $defs: { a: header('string') } }],
])('%j is not', (schema) => {
  expect(headerArgumentProblem(schema)).toContain('x-mcp-header')
})
