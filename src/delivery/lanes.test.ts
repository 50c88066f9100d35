import { expect, test } from 'vitest'
import type { ClaimedRow } from './claim.ts'
import type { LaneRow } from './lane-row.ts'
import { makeLanes } from './lanes.ts'

const claimed = (...ids: string[]) =>
  ids.map((subscription_id) => {
    const revisions = { subscription_revision: 1, integration_revision: 1 }
    // A test reads no more of a claim than this.
    return { subscription_id, ...revisions } as ClaimedRow
  })

/** Lanes whose opening fails as told, by subscription id. */
function openLanes(failures: Map<string, Error>) {
  const broken: string[] = []
  const lanesOf = makeLanes<string>({
    load: (ids) => Promise.resolve(claimed(...ids) as unknown as LaneRow[]),
    open: async ({ subscription_id: id }) => {
      const failure = failures.get(id)
      if (failure !== undefined) throw failure
      return { config: `config of ${id}`, staleAtMs: Infinity }
    },
    isPassing: (error) => error instanceof Error && error.message === 'away',
    onBroken: (id) => broken.push(id),
    nowMs: () => 0,
    maxLanes: 10,
  })
  return { lanesOf, broken }
}

test('a lane that cannot be opened for a passing reason waits, and the others of its claim go on', async () => {
  const failures = new Map([['a', new Error('away')]])
  const { lanesOf, broken } = openLanes(failures)
  expect(await lanesOf(claimed('a', 'b'))).toEqual({
    open: new Map([['b', 'config of b']]),
    waiting: new Set(['a']),
  })
  failures.clear()
  expect(await lanesOf(claimed('a', 'b'))).toEqual({
    open: new Map([
      ['a', 'config of a'],
      ['b', 'config of b'],
    ]),
    waiting: new Set(),
  })
  expect(broken).toEqual([])
})

test('a lane that is broken for good is told, and is neither open nor waiting', async () => {
  const { lanesOf, broken } = openLanes(new Map([['a', new Error('no such key')]]))
  expect(await lanesOf(claimed('a'))).toEqual({ open: new Map(), waiting: new Set() })
  expect(broken).toEqual(['a'])
})

test('a lane that was opened needs no key any more', async () => {
  const failures = new Map<string, Error>()
  const { lanesOf } = openLanes(failures)
  await lanesOf(claimed('a'))
  failures.set('a', new Error('away'))
  expect((await lanesOf(claimed('a'))).open.get('a')).toBe('config of a')
})
