import { expect, test } from 'vitest'
import { makeSweep } from './sweep.ts'

test('a step that breaks is told of, and the others are done', async () => {
  const done: string[] = []
  const told: unknown[] = []
  const broken = new Error('no such org')
  const sweep = makeSweep(
    {
      lanes: async () => void done.push('lanes'),
      runs: () => Promise.reject(broken),
      approvals: async () => void done.push('approvals'),
    },
    { error: (fields: unknown, event?: string) => void told.push([fields, event]) },
  )
  await sweep()
  expect(done).toEqual(['lanes', 'approvals'])
  expect(told).toEqual([[{ err: broken, step: 'runs' }, 'sweep.broke']])
})
