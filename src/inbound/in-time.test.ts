import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { makeLog } from '../telemetry/log.ts'
import type { Answered, IsBroughtByCaller } from './answer.ts'
import { makeAnswerInTime } from './in-time.ts'

/** One question, whose turn commits and ends when a test says so. */
function open({ withinMs = 60_000 }: { readonly withinMs?: number } = {}) {
  const turn = Promise.withResolvers<Answered>()
  const again: [id: string, afterS: number][] = []
  const lines = new PassThrough()
  let isBrought: IsBroughtByCaller = () => false
  const answerInTime = makeAnswerInTime({
    answerQuestion: (_id, _signal, isBroughtByCaller) => {
      isBrought = isBroughtByCaller
      return turn.promise
    },
    answerAfter: (id, afterS) => again.push([id, afterS]),
    messageText: async (orgId, messageId) => `${messageId} of ${orgId}`,
    signal: new AbortController().signal,
    log: makeLog('warn', lines),
    withinMs,
  })
  return {
    again,
    logged: () => String(lines.read() ?? ''),
    answered: answerInTime('acme', 'q-1'),
    commit: () => isBrought(),
    end: turn.resolve,
    breakOff: turn.reject,
  }
}

const DONE: Answered = { againInS: null, answerId: 'a-1' }

test('a turn that is quick enough is brought by who waits for it', async () => {
  const { answered, commit, end } = open()
  expect(commit()).toBe(true)
  end(DONE)
  expect(await answered).toBe('a-1 of acme')
})

test('a turn that commits when the time is over is not, and nobody waits for its end', async () => {
  const { answered, commit, end, again } = open({ withinMs: 1 })
  expect(await answered).toBe(null)
  expect(commit()).toBe(false)
  end(DONE)
  expect(again).toEqual([])
})

test('a turn that is at its commit when the time is over is waited for', async () => {
  const { answered, commit, end } = open({ withinMs: 1 })
  expect(commit()).toBe(true)
  // Longer than the time; nothing tells from outside that it is over.
  await new Promise((later) => setTimeout(later, 20))
  end(DONE)
  expect(await answered).toBe('a-1 of acme')
})

test('a turn that begins its commit again when the time is over is owed', async () => {
  const { answered, commit } = open({ withinMs: 1 })
  expect(await answered).toBe(null)
  expect([commit(), commit()]).toEqual([false, false])
})

test('a turn that failed is tried again, in time or later', async () => {
  const early = open()
  early.end({ againInS: 2, answerId: null })
  expect([await early.answered, early.again]).toEqual([null, [['q-1', 2]]])
  const late = open({ withinMs: 1 })
  expect([await late.answered, late.again]).toEqual([null, []])
  late.end({ againInS: 8, answerId: null })
  await new Promise((later) => setImmediate(later))
  expect(late.again).toEqual([['q-1', 8]])
})

test('what breaks while somebody waits is told to who waits, and afterwards to the log', async () => {
  const early = open()
  early.breakOff(new Error('no database'))
  await expect(early.answered).rejects.toThrow('no database')
  const late = open({ withinMs: 1 })
  expect(await late.answered).toBe(null)
  late.breakOff(new Error('no database'))
  await new Promise((later) => setImmediate(later))
  expect(late.logged()).toContain('question.lost')
})
