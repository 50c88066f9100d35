import { expect, test } from 'vitest'
import { childOf } from './trace.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const NEW_TRACE = 'ab'.repeat(16)
const NEW_SPAN = 'ab'.repeat(8)
const bytes = (size: number) => new Uint8Array(size).fill(0xab)

test.each([
  [`00-${TRACE}-${SPAN}-01`, '01'],
  [`00-${TRACE}-${SPAN}-00`, '00'],
  // The random-trace-id flag of level 2; others are of no known meaning.
  [`00-${TRACE}-${SPAN}-03`, '03'],
  [`00-${TRACE}-${SPAN}-fd`, '01'],
  // Later versions are read as this one, whatever they have behind it.
  [`01-${TRACE}-${SPAN}-01`, '01'],
  [`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, '01'],
])('%s goes on, in a span of its own', (traceparent, flags) => {
  expect(childOf(traceparent, bytes)).toBe(`00-${TRACE}-${NEW_SPAN}-${flags}`)
})

test.each([
  null,
  '',
  'nonsense',
  `ff-${TRACE}-${SPAN}-01`,
  `00-${'0'.repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${TRACE}-${SPAN.toUpperCase()}-01`,
  `00-${TRACE}-${SPAN}-0X`,
  `00-${TRACE}-${SPAN}-1`,
  `00-${TRACE}-${SPAN}-01-more`,
  `00-${TRACE}-${SPAN}-01-`,
  `cc-${TRACE}-${SPAN}-01.more`,
  `0-${TRACE}-${SPAN}-01`,
  `00-${TRACE.slice(1)}-${SPAN}-01`,
  `00-${TRACE}${SPAN}-01`,
  ` 00-${TRACE}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01\n`,
  `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
])('%j begins a trace', (traceparent) => {
  expect(childOf(traceparent, bytes)).toBe(`00-${NEW_TRACE}-${NEW_SPAN}-02`)
})

test('no id is all zeros, whatever the dice say', () => {
  const zeros = (size: number) => new Uint8Array(size)
  expect(childOf(null, zeros)).toBe(`00-${'0'.repeat(31)}1-${'0'.repeat(15)}1-02`)
})
