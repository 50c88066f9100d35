import { beforeEach, describe, expect, test } from 'vitest'
import { type EndpointVerdict, judgeEndpoint, makeCircuit } from './circuit.ts'

let nowMs: number
let circuit: ReturnType<typeof makeCircuit>

beforeEach(() => {
  nowMs = 1000
  circuit = makeCircuit(() => nowMs)
})

function enter(toolId = 'a') {
  const leave = circuit.enter(toolId)
  if (leave.isOpen) throw new Error(`open for ${leave.retryAfterS} s`)
  return leave.report
}

function call(verdict: EndpointVerdict, times = 1, toolId = 'a') {
  for (let count = 0; count < times; count += 1) enter(toolId)(verdict)
}

describe('a circuit', () => {
  test('opens for 30 s after five failures in a row', () => {
    call('fails', 4)
    expect(circuit.enter('a').isOpen).toBe(false)
    call('fails')
    expect(circuit.enter('a')).toEqual({ isOpen: true, failures: 5, retryAfterS: 30 })
    nowMs += 2500
    expect(circuit.enter('a')).toEqual({ isOpen: true, failures: 5, retryAfterS: 28 })
  })

  test('stays closed where a call works in between', () => {
    call('fails', 4)
    call('works')
    call('fails', 4)
    expect(circuit.enter('a').isOpen).toBe(false)
  })

  test('counts neither blocked nor interrupted calls, and does not begin anew for them', () => {
    call('neither', 20)
    call('fails', 4)
    call('neither')
    call('fails')
    expect(circuit.enter('a').isOpen).toBe(true)
  })

  test('of one tool is not that of another', () => {
    call('fails', 5)
    expect(circuit.enter('b').isOpen).toBe(false)
  })

  test('counts a call once, however often it reports', () => {
    const report = enter()
    for (let count = 0; count < 9; count += 1) report('fails')
    expect(circuit.enter('a').isOpen).toBe(false)
  })

  test('closes where a call works that left before it opened', () => {
    const slow = enter()
    call('fails', 5)
    slow('works')
    expect(circuit.enter('a').isOpen).toBe(false)
  })

  test('stays open no longer for calls that left before it opened and fail too', () => {
    const late = Array.from({ length: 10 }, () => enter())
    for (const report of late) report('fails')
    nowMs += 30_000
    expect(circuit.enter('a').isOpen).toBe(false)
  })
})

describe('a circuit whose time is over', () => {
  beforeEach(() => {
    call('fails', 5)
    nowMs += 30_000
  })

  test('lets one call through, and refuses others meanwhile', () => {
    expect(circuit.enter('a').isOpen).toBe(false)
    expect(circuit.enter('a')).toEqual({ isOpen: true, failures: 5, retryAfterS: 1 })
  })

  test('closes when that works', () => {
    call('works')
    call('fails', 4)
    expect(circuit.enter('a').isOpen).toBe(false)
  })

  test('opens for twice as long each time that fails, five minutes at most', () => {
    const waits = Array.from({ length: 5 }, () => {
      call('fails')
      const leave = circuit.enter('a')
      nowMs += leave.isOpen ? leave.retryAfterS * 1000 : 0
      return leave
    })
    expect(waits).toMatchObject([60, 120, 240, 300, 300].map((retryAfterS) => ({ retryAfterS })))
    call('works')
    call('fails', 5)
    expect(circuit.enter('a')).toMatchObject({ retryAfterS: 30 })
  })

  test('gives the place to the next when the probe says neither', () => {
    const probe = enter()
    probe('neither')
    expect(circuit.enter('a').isOpen).toBe(false)
  })

  test('gives the place to the next when the probe says nothing for two minutes', () => {
    const lost = enter()
    nowMs += 120_000
    const next = enter()
    expect(circuit.enter('a').isOpen).toBe(true)
    lost('fails')
    expect(circuit.enter('a').isOpen).toBe(true)
    next('works')
    expect(circuit.enter('a').isOpen).toBe(false)
  })
})

test('tools that fail are forgotten, the one that was asked about longest ago first', () => {
  call('fails', 5, 'first')
  call('fails', 5, 'second')
  for (let at = 0; at < 9998; at += 1) call('fails', 1, `tool ${at}`)
  expect(circuit.enter('first').isOpen).toBe(true)
  call('fails', 1, 'one more')
  expect(circuit.enter('first').isOpen).toBe(true)
  expect(circuit.enter('second').isOpen).toBe(false)
})

test.each([
  ['works', 'an answer of 200', 200],
  ['works', 'a refusal', 403],
  ['fails', 'an answer of 503', 503],
] as const)('an endpoint %s by %s', (verdict, _, statusCode) => {
  const answer = { kind: 'answer', statusCode, headers: {}, body: Buffer.of() } as const
  expect(judgeEndpoint({ ...answer, isCut: false, encoding: null })).toBe(verdict)
})

test.each([
  ['fails', 'timeout'],
  ['fails', 'failed'],
  ['neither', 'blocked'],
  ['neither', 'interrupted'],
] as const)('an endpoint %s by a call that ends as %s', (verdict, kind) => {
  expect(judgeEndpoint({ kind, reason: 'x' })).toBe(verdict)
})

test('a try goes although the circuit is open; where it works, everybody’s calls go again', () => {
  const circuit = makeCircuit(() => 0)
  const failOnce = () => {
    const leave = circuit.enter('tool')
    if (!leave.isOpen) leave.report('fails')
  }
  for (let i = 0; i < 5; i += 1) failOnce()
  expect(circuit.enter('tool').isOpen).toBe(true)
  for (const [verdict, isOpen] of [
    ['fails', true],
    ['works', false],
  ] as const) {
    const leave = circuit.enter('tool', true)
    if (leave.isOpen) throw new Error('a try has to wait')
    leave.report(verdict)
    expect(circuit.enter('tool').isOpen).toBe(isOpen)
  }
})
