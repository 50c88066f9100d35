import { randomBytes } from 'node:crypto'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { openLoopbackEgress } from '../../test/fixtures/egress.ts'
import { type Answer, openReceiver } from '../../test/fixtures/receiver.ts'
import { makeRedact } from '../core/redact.ts'
import { toCallResult } from './call-result.ts'
import { makeSendCall } from './send-call.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())
const egress = stack.use(openLoopbackEgress())
let answer: Answer
const endpoint = stack.use(await openReceiver((response, request) => answer(response, request)))
beforeEach(() => {
  endpoint.requests.length = 0
})

async function call() {
  const verdict = egress.judge(endpoint.url, { orgId: 'acme', network: 'public', domains: null })
  if (!verdict.isAllowed) throw new Error(verdict.reason)
  const sendCall = makeSendCall({
    egress,
    nowMs: Date.now,
    random: () => 0,
    randomBytes,
    sleep: async () => undefined,
  })
  const sent = await sendCall({
    target: verdict.target,
    network: 'public',
    method: 'POST',
    headers: [],
    body: '{}',
    timeoutMs: 5000,
    isRepeatable: false,
    tool: 'jira.createIssue',
    runId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c03',
    signingSecrets: [],
    contextToken: 'token',
    traceparent: null,
    signal: undefined,
  })
  return toCallResult(sent.answer, makeRedact([]))
}

test('an answer of 100 MB is not read to its end', async () => {
  const all = 100 * 1_048_576
  let written = 0
  answer = (response) => {
    const write = () => {
      while (written < all && !response.destroyed) {
        written += 65_536
        if (!response.write('x'.repeat(65_536))) {
          response.once('drain', write)
          return
        }
      }
      response.end()
    }
    write()
  }
  expect(await call()).toMatchObject({
    outcome: 'success',
    result: expect.stringMatching(/^x{262144}\n\[cut: the result is over 262144 bytes\]$/),
  })
  expect(written).toBeLessThan(all)
})

test('a page for people is its text', async () => {
  const page = '<!doctype html><title>Sign in</title>'
  answer = (response) => response.setHeader('content-type', 'text/html').end(page)
  expect(await call()).toEqual({ outcome: 'success', result: page, error: null })
})

test.each([
  ['of the length that was said', { 'content-length': '100' }],
  ['in pieces', {}],
])('half an answer, %s, is an error and no result', async (_, headers) => {
  answer = (response) => {
    response.writeHead(200, { 'content-type': 'application/json', ...headers })
    response.write('{"key":"PB-1","na', () => response.destroy())
  }
  expect(await call()).toMatchObject({ outcome: 'error', result: null })
  expect(endpoint.requests).toHaveLength(1)
})
