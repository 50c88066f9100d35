import { expect, test } from 'vitest'
import type { Produced, Subscription } from './bench.ts'
import { compare } from './compare.ts'
import type { Received } from './processes/receiver.ts'

const PLAIN: Subscription = {
  id: 's',
  orgId: 'o',
  path: '/ok',
  isOrdered: false,
  perSecond: null,
}

function produced(id: string, outcome: Produced['outcome'] = 'committed'): Produced {
  return { id, orgId: 'o', conversationId: 'c', outcome, at: 0 }
}

function received(id: string, more: Partial<Received> = {}): Received {
  return { id, path: '/ok', sha256: id, attempt: 1, at: 0, skewS: 0, signature: 'good', ...more }
}

const problems = (
  promised: readonly Produced[],
  arrived: readonly Received[],
  subscription: Partial<Subscription> = {},
) => compare(promised, arrived, { ...PLAIN, ...subscription }).problems

test('what was committed and arrived is fine, and so is what may or may not have committed', () => {
  const promised = [produced('a'), produced('b', 'unknown'), produced('c', 'unknown')]
  expect(compare(promised, [received('a'), received('b')], PLAIN)).toEqual({
    emitted: 1,
    delivered: 1,
    lost: 0,
    duplicates: 0,
    problems: [],
  })
})

test('a committed event that did not arrive is lost', () => {
  const compared = compare([produced('a'), produced('b')], [received('a')], PLAIN)
  expect(compared).toMatchObject({ delivered: 1, lost: 1, problems: ['1 lost: b'] })
})

test('an event that was rolled back, or that nobody emitted, must not arrive', () => {
  const arrived = [received('a'), received('b')]
  expect(problems([produced('a', 'rolled back')], arrived)).toEqual([
    '1 arrived although rolled back: a',
    '1 arrived although nobody emitted it: b',
  ])
})

test('a copy with another body or a bad signature is a problem, the copy alone is counted', () => {
  const copies = [received('a'), received('a', { sha256: 'x', signature: 'bad' })]
  const compared = compare([produced('a')], copies, PLAIN)
  expect(compared.duplicates).toBe(1)
  expect(compared.problems).toEqual(['1 came with another body: a', '1 badly signed: a'])
})

test('only the first copies of a conversation have to be in order', () => {
  const promised = [produced('a'), produced('b')]
  const late = [received('b'), received('a')]
  const again = [received('a'), received('b'), received('a')]
  expect(problems(promised, late, { isOrdered: true })).toEqual(['1 out of order: a'])
  expect(problems(promised, again, { isOrdered: true })).toEqual([])
})

test('more requests within a second than the limit and one are too many', () => {
  const promised = ['a', 'b', 'c', 'd'].map((id) => produced(id))
  const at = (times: readonly number[]) =>
    promised.map(({ id }, index) => received(id, { at: times[index] ?? 0 }))
  expect(problems(promised, at([0, 400, 800, 1000]), { perSecond: 2 })).toEqual([])
  expect(problems(promised, at([0, 400, 800, 999]), { perSecond: 2 })).toEqual([
    '4 requests within a second, 2 are allowed',
  ])
})
