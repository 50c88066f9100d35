import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openLoopbackEgress } from '../../test/fixtures/egress.ts'
import { type Answer, openReceiver, type Receiver } from '../../test/fixtures/receiver.ts'
import type { Egress } from '../egress/egress.ts'
import { makeSendCall, type ReadyCall } from './send-call.ts'

const RUN_ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c03'
let egress: Egress
let endpoint: Receiver
let answer: Answer
let waits: number[]

beforeAll(async () => {
  egress = openLoopbackEgress()
  endpoint = await openReceiver((response, request) => answer(response, request))
})
afterAll(async () => {
  await egress[Symbol.asyncDispose]()
  await endpoint[Symbol.asyncDispose]()
})
beforeEach(() => {
  endpoint.requests.length = 0
  waits = []
})

/** What is answered, one after the other; then 200. */
function statuses(...given: [number, Record<string, string>?][]): Answer {
  const left = [...given]
  return (response) => {
    const [status, headers = {}] = left.shift() ?? [200]
    response.writeHead(status, headers).end('{}')
  }
}

async function send(call: Partial<ReadyCall> = {}) {
  const verdict = egress.judge(endpoint.url, { orgId: 'acme', network: 'public', domains: null })
  if (!verdict.isAllowed) throw new Error(verdict.reason)
  const sendCall = makeSendCall({
    egress,
    nowMs: Date.now,
    random: () => 0,
    randomBytes,
    sleep: async (ms) => void waits.push(ms),
  })
  const { answer: got, attempts } = await sendCall({
    target: verdict.target,
    network: 'public',
    method: 'GET',
    headers: [],
    body: null,
    timeoutMs: 5000,
    isRepeatable: true,
    tool: 'jira.createIssue',
    runId: RUN_ID,
    signingSecrets: [],
    contextToken: 'token',
    traceparent: null,
    signal: undefined,
    ...call,
  })
  return { status: got.kind === 'answer' ? got.statusCode : got.kind, attempts }
}

test('another try is made once, after a moment, with the same id and a span of its own', async () => {
  answer = statuses([503])
  expect(await send()).toEqual({ status: 200, attempts: 2 })
  const [first, second] = endpoint.requests.map(({ headers }) => headers)
  expect(second?.['idempotency-key']).toBe(RUN_ID)
  expect(first?.['idempotency-key']).toBe(RUN_ID)
  expect(second?.traceparent).not.toBe(first?.traceparent)
  expect(waits).toEqual([200])
  answer = statuses([503], [502])
  expect(await send()).toEqual({ status: 502, attempts: 2 })
})

test('none is made where something could happen twice', async () => {
  answer = statuses([503])
  expect(await send({ isRepeatable: false })).toEqual({ status: 503, attempts: 1 })
})

test.each<[string, [number, Record<string, string>?]]>([
  ['500: the endpoint has seen the request', [500]],
  ['404', [404]],
  ['429 without a time', [429]],
  ['429 that asks for a minute', [429, { 'retry-after': '60' }]],
  ['503 that asks for a date', [503, { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' }]],
])('none is made after %s', async (_, first) => {
  answer = statuses(first)
  expect(await send()).toEqual({ status: first[0], attempts: 1 })
})

test('another try waits as long as the endpoint asks for, up to two seconds', async () => {
  answer = statuses([429, { 'retry-after': '2' }])
  expect(await send()).toEqual({ status: 200, attempts: 2 })
  expect(waits).toEqual([2000])
})

test('none is made when the time for it is over, or who asked has left', async () => {
  answer = statuses([503])
  expect(await send({ timeoutMs: 300 })).toEqual({ status: 503, attempts: 1 })
  const caller = new AbortController()
  answer = (response) => {
    caller.abort()
    response.writeHead(503).end()
  }
  expect((await send({ signal: caller.signal })).attempts).toBe(1)
})

test('another try is made where nothing answered', async () => {
  answer = (response) => {
    if (endpoint.requests.length === 1) response.destroy()
    else response.end('{}')
  }
  expect(await send()).toEqual({ status: 200, attempts: 2 })
})

test('both tries are within the time of one', async () => {
  answer = (response) => {
    if (endpoint.requests.length === 1) response.writeHead(503).end()
  }
  const startedAt = performance.now()
  expect(await send({ timeoutMs: 700 })).toEqual({ status: 'timeout', attempts: 2 })
  expect(performance.now() - startedAt).toBeLessThan(2000)
})
