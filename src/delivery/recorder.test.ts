import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { makeLog } from '../telemetry/log.ts'
import type { AttemptRecord } from './record.ts'
import { makeRecorder } from './recorder.ts'

const FLUSH_AT = 4

const recordOf = (deliveryId: string): AttemptRecord => ({
  deliveryId,
  leaseToken: 'token',
  attempt: 1,
  trigger: 'schedule',
  isInLine: false,
  outcome: 'delivered',
  next: 'final',
  afterMs: 0,
  statusCode: 200,
  durationMs: 1,
  error: null,
  snippet: null,
})

/** A recorder, and the sizes of the batches that it wrote. */
function openRecorder(flushMs: number, fails = 0) {
  const batches: number[] = []
  let left = fails
  const recorder = makeRecorder({
    record: async (records) => {
      if (left > 0) {
        left -= 1
        throw new Error('the database is away')
      }
      batches.push(records.length)
      return new Set(records.map((record) => record.deliveryId))
    },
    log: makeLog('silent'),
    flushMs,
    flushAt: FLUSH_AT,
    giveUpMs: 10_000,
    onRecorded: () => undefined,
  })
  const add = (count: number) => {
    for (let n = 0; n < count; n += 1) recorder.add(recordOf(String(n)))
  }
  return { recorder, batches, add }
}

test('few outcomes wait for others for so long, and are written together', async () => {
  const { recorder, batches, add } = openRecorder(50)
  add(1)
  await sleep(10)
  expect(batches).toEqual([])
  add(2)
  await recorder.flush()
  expect(batches).toEqual([3])
  expect(recorder.unrecorded()).toBe(0)
})

test('enough of them wait no longer, the second time as the first', async () => {
  const { recorder, batches, add } = openRecorder(60_000)
  add(FLUSH_AT)
  await recorder.flush()
  add(FLUSH_AT - 1)
  await sleep(20)
  expect(batches).toEqual([FLUSH_AT])
  add(1)
  await recorder.flush()
  expect(batches).toEqual([FLUSH_AT, FLUSH_AT])
})

test('while the database is away they stay, and are counted', async () => {
  const { recorder, batches, add } = openRecorder(1, 1)
  add(2)
  await sleep(20)
  expect(recorder.unrecorded()).toBe(2)
  await recorder.flush()
  expect(batches).toEqual([2])
})
