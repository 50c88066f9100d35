import { expect, test } from 'vitest'
import { jsonBoundsProblem } from './json-bounds.ts'

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
const wide = (members: number) =>
  `{${Array.from({ length: members }, (_, at) => `"k${at}":1`).join(',')}}`

test.each([
  ['nothing', ''],
  ['a flat object', '{"a":[1,2,{"b":null}]}'],
  ['a hundred levels', nested(100)],
  ['levels beside each other', `[${Array.from({ length: 500 }, () => nested(50)).join(',')}]`],
  ['brackets and colons in a string', JSON.stringify({ text: '[{:'.repeat(100_000) })],
  ['an escaped quote before them', String.raw`{"a\"${'['.repeat(200)}":1}`],
  ['an escaped backslash at the end of a string', String.raw`{"a\\":"[[["}`],
  ['a string without an end', `"${'['.repeat(200)}`],
  ['a backslash at the end', '"\\'],
  ['fifty thousand members', wide(50_000)],
])('%s is within bounds', (_, text) => expect(jsonBoundsProblem(text, 50_000)).toBeNull())

test.each([
  ['a hundred and one levels', nested(101), 'is nested deeper than 100 levels'],
  ['half a million levels', '['.repeat(500_000), 'is nested deeper than 100 levels'],
  ['objects in objects', '{"a":'.repeat(101), 'is nested deeper than 100 levels'],
  ['levels after an escaped backslash', String.raw`"\\"${nested(101)}`, 'is nested deeper'],
  ['fifty thousand members and one', wide(50_001), 'has more than 50000 members'],
])('%s is too much', (_, text, problem) =>
  expect(jsonBoundsProblem(text, 50_000)).toContain(problem),
)
