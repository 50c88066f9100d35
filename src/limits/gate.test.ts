import { expect, test } from 'vitest'
import { makeGate } from './gate.ts'

const enough = { maxWaiting: 10, maxWaitMs: 60_000 }

test('so many are let in at once, the next ones in their order', async () => {
  const enter = makeGate({ what: 'of these run', max: 2, ...enough })
  const order: string[] = []
  const leaveFirst = await enter('org')
  const leaveSecond = await enter('org')
  const third = enter('org').then((leave) => {
    order.push('third')
    return leave
  })
  const fourth = enter('org').then((leave) => {
    order.push('fourth')
    return leave
  })
  expect(order).toEqual([])
  leaveSecond()
  const leaveThird = await third
  expect(order).toEqual(['third'])
  leaveThird()
  leaveFirst()
  const leaveFourth = await fourth
  expect(order).toEqual(['third', 'fourth'])
  leaveFourth()
})

test('one key never waits for another', async () => {
  const enter = makeGate({ what: 'of these run', max: 1, ...enough })
  const leave = await enter('slow')
  const waits = enter('slow')
  const leaveOther = await enter('other')
  leaveOther()
  leave()
  const leaveWaiting = await waits
  leaveWaiting()
})

test('who finds the queue full is refused at once', async () => {
  const enter = makeGate({ what: 'of these run', max: 1, maxWaiting: 1, maxWaitMs: 60_000 })
  const leave = await enter('org')
  const waits = enter('org')
  await expect(enter('org')).rejects.toMatchObject({ code: 'RATE_LIMITED', retryAfterS: 1 })
  leave()
  const leaveWaiting = await waits
  leaveWaiting()
})

test('who waited in vain is refused, and takes no place', async () => {
  const enter = makeGate({ what: 'of these run', max: 1, maxWaiting: 1, maxWaitMs: 1 })
  const leave = await enter('org')
  await expect(enter('org')).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  leave()
  const leaveNext = await enter('org')
  leaveNext()
})

test('who is gone waits no more', async () => {
  const enter = makeGate({ what: 'of these run', max: 1, maxWaiting: 1, maxWaitMs: 60_000 })
  const leave = await enter('org')
  const gone = new AbortController()
  const waits = enter('org', gone.signal)
  gone.abort()
  await expect(waits).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  await expect(enter('org', AbortSignal.abort())).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  leave()
})
