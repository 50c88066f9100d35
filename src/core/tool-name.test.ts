import { expect, test } from 'vitest'
import { TOOL_NAME, WIRE_NAME, wireNameOf } from './tool-name.ts'

const DIGEST = '0123456789abcdef'
const free = () => false

test.each([
  ['jira.createIssue', 'jira_createIssue'],
  ['plain-name_1', 'plain-name_1'],
  ['x'.repeat(64), 'x'.repeat(64)],
])('%s is %s on the wire', (name, wire) => {
  expect(wireNameOf(name, DIGEST, free)).toBe(wire)
})

test('a name that another tool maps to gets a mark of its own', () => {
  expect(wireNameOf('a.b', DIGEST, (wire) => wire === 'a_b')).toBe('a_b_012345')
})

test.each([65, 100, 128])(
  'a name of %i characters is cut to 64 with both its ends and a mark',
  (length) => {
    const name = `begin.${'x'.repeat(length - 10)}.end`
    const wire = wireNameOf(name, DIGEST, free)
    expect(name).toHaveLength(length)
    expect(wire).toHaveLength(64)
    expect(wire).toMatch(/^begin_x+__x+_end_012345$/)
  },
)

test('every wire name is one, also at the limits', () => {
  for (const name of ['a', `a${'.'.repeat(127)}`, `Z${'-'.repeat(63)}`]) {
    expect(TOOL_NAME.test(name)).toBe(true)
    for (const isTaken of [free, () => true]) {
      expect(wireNameOf(name, DIGEST, isTaken)).toMatch(WIRE_NAME)
    }
  }
})

test.each(['', '1a', '.a', '_a', 'a b', 'ä', 'a/b', 'a\n', 'x'.repeat(129)])(
  '%j names no tool',
  (name) => {
    expect(TOOL_NAME.test(name)).toBe(false)
  },
)
