import { expect, test } from 'vitest'
import { AppError } from '../core/error.ts'
import { type InvokeTool, makeToolbox, toToolAnswer } from './toolbox.ts'

const RUN = { id: 'r', tool: 'a.b', outcome: 'success', result: null, error: null, durationMs: 1 }
const WAITING = { approvalId: 'a1', eventId: null, tool: 'a.b', expiresAt: '2026-01-31T12:00:00Z' }

function toolboxOf(invokeTool: InvokeTool) {
  const { signal } = new AbortController()
  return makeToolbox(invokeTool, { orgId: 'o', userId: 'u', conversationId: 'c', signal })
}

test('of a long result the model reads the beginning and the end, and how much is missing', () => {
  const { isOk, content } = toToolAnswer({ ...RUN, result: `a${'x'.repeat(100_000)}z` })
  expect(isOk).toBe(true)
  expect(content.length).toBeLessThanOrEqual(50_000)
  expect(content).toMatch(/^ax+\s*\[….*characters left out …\]\s*x+z$/)
})

test('a result that is no text is JSON, and a failure is its error', () => {
  expect(toToolAnswer({ ...RUN, result: { a: 1 } })).toEqual({ isOk: true, content: '{"a":1}' })
  expect(toToolAnswer({ ...RUN, outcome: 'unknown' })).toEqual({ isOk: false, content: 'unknown' })
})

test('a call that waits is no failure, is told as what it is, and counted once', async () => {
  const toolbox = toolboxOf(async () => ({ kind: 'waits', waiting: WAITING }))
  const answer = await toolbox.runTool('a.b', {})
  await toolbox.runTool('a.b', {})
  expect(answer).toMatchObject({ isOk: true, content: expect.stringContaining('has not run') })
  expect(toolbox.waiting).toEqual([WAITING])
  expect(toolbox.runs).toEqual([])
})

test('what the model did wrong it hears; what we did wrong ends the turn', async () => {
  const slip = toolboxOf(() =>
    Promise.reject(new AppError('INVALID_BODY', 'args.n must be integer')),
  )
  expect(await slip.runTool('a.b', {})).toEqual({ isOk: false, content: 'args.n must be integer' })
  expect(slip.broken()).toBeUndefined()
  const bug = new TypeError('x is not a function')
  const broken = toolboxOf(() => Promise.reject(bug))
  expect(await broken.runTool('a.b', {})).toEqual({ isOk: false, content: 'broke' })
  expect([broken.broken(), broken.signal.aborted]).toEqual([bug, true])
})

test('is asked sixteen times at most', async () => {
  let calls = 0
  const toolbox = toolboxOf(async () => {
    calls += 1
    return { kind: 'ran', run: RUN }
  })
  for (let i = 0; i < 20; i += 1) await toolbox.runTool('a.b', {})
  expect([calls, toolbox.runs.length]).toEqual([16, 16])
})
