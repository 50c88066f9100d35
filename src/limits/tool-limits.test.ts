import { expect, test } from 'vitest'
import { makeGate } from './gate.ts'
import { type LimitedRun, makeToolLimits } from './tool-limits.ts'
import type { Limit } from './window.ts'

const run: LimitedRun = {
  orgId: 'o',
  tool: 'jira.create',
  toolId: 't',
  integrationId: 'i',
  rateLimit: { perSecond: 2, perMinute: 60 },
}

function makeLimited(refused: string | null, max = 1) {
  const taken: [string, Limit][] = []
  const limited = makeToolLimits({
    take: async (key, limit) => {
      taken.push([key, limit])
      return { isAllowed: key !== refused, limit: limit.points, remaining: 0, resetMs: 1200 }
    },
    enter: makeGate({ what: 'of these run', max, maxWaiting: 0, maxWaitMs: 1 }),
    perIntegration: 600,
  })
  return { limited, taken }
}

test('a run takes of its tool and of its integration', async () => {
  const { limited, taken } = makeLimited(null)
  expect(await limited(run, async () => 'ran')).toBe('ran')
  expect(taken).toEqual([
    ['tool/t/second', { points: 2, windowMs: 1000 }],
    ['tool/t/minute', { points: 60, windowMs: 60_000 }],
    ['integration/i', { points: 600, windowMs: 60_000 }],
  ])
})

test('a built-in tool is only bounded by its place', async () => {
  const { limited, taken } = makeLimited(null)
  const builtin = { ...run, toolId: null, integrationId: null, rateLimit: null }
  expect(await limited(builtin, async () => 'ran')).toBe('ran')
  expect(taken).toEqual([])
})

test.each([
  ['tool/t/second', 'jira.create: its rate of 2 a second is used up; try again in 2 s'],
  ['tool/t/minute', 'jira.create: its rate of 60 a minute is used up; try again in 2 s'],
  [
    'integration/i',
    "jira.create: its integration's rate of 600 a minute is used up; try again in 2 s",
  ],
])(
  'where %s is used up nothing runs, and whoever asks is told when to come back',
  async (key, message) => {
    const { limited } = makeLimited(key)
    let ran = 0
    const work = async () => {
      ran += 1
    }
    await expect(limited(run, work)).rejects.toMatchObject({
      code: 'RATE_LIMITED',
      message,
      retryAfterS: 2,
    })
    expect(ran).toBe(0)
  },
)

test('a run that breaks gives its place back', async () => {
  const { limited } = makeLimited(null)
  await expect(limited(run, () => Promise.reject(new Error('broke')))).rejects.toThrow('broke')
  expect(await limited(run, async () => 'ran')).toBe('ran')
})
