import { expect, test } from 'vitest'
import { toSnippet } from '../../core/answer.ts'
import { judgeTeams } from './answers.ts'

function judge(statusCode: number, body = '', retryAfter?: string) {
  const answer = {
    statusCode,
    retryAfter,
    snippet: toSnippet(body, false),
    body: Buffer.from(body),
  }
  return judgeTeams(answer, 0)
}
const error = (code: string) => JSON.stringify({ error: { code, message: 'Sorry.' } })
const OLD =
  'Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error'

test.each([200, 202])('%i is delivered', (statusCode) => {
  expect(judge(statusCode)).toEqual({ kind: 'delivered', statusCode, snippet: '' })
})

test('a 200 that says that the message was not delivered is a failure', () => {
  expect(judge(200, `${OLD} 403 with ContextId x`)).toMatchObject({
    kind: 'failed',
    statusCode: 200,
    error: 'HTTP 200, but Teams says that it could not deliver the message: HTTP 403',
  })
  expect(judge(200, 'Webhook message delivery failed.')).toMatchObject({ kind: 'failed' })
})

test('a 200 that says that Teams is throttled is throttled', () => {
  expect(judge(200, `${OLD} 429 with ContextId x`)).toMatchObject({
    kind: 'throttled',
    retryAfterMs: null,
  })
})

test('429 is throttled, with or without a time', () => {
  expect(judge(429)).toMatchObject({ kind: 'throttled', retryAfterMs: null })
  expect(judge(429, '', '7')).toMatchObject({ kind: 'throttled', retryAfterMs: 7000 })
})

test.each([
  [400, 'WorkflowTriggerIsNotEnabled', 'is switched off or was deleted: switch it on'],
  [404, 'WorkflowNotFound', 'was deleted: create a new one and paste its URL here'],
  [401, 'DirectApiAuthorizationRequired', 'set "Who can trigger the flow?" to Anyone'],
  [401, 'InvalidAuthorizationToken', 'copy the URL again, all of it, and paste it here'],
  [403, 'InvalidAuthorization', 'copy the URL again'],
])('%i %s stops the subscription, with what to do', (statusCode, code, words) => {
  const outcome = judge(statusCode, error(code))
  expect(outcome).toMatchObject({
    kind: 'failed',
    statusCode,
    error: expect.stringContaining(code),
    consequence: { stops: 'subscription', reason: expect.stringContaining(words) },
  })
})

test('a 401 without a code is a signature that does not hold', () => {
  expect(judge(401, '<html>')).toMatchObject({
    error: expect.stringContaining('HTTP 401: Teams does not take the signature'),
    consequence: { stops: 'subscription' },
  })
})

test.each([
  [413, ''],
  [400, 'Request Entity Too Large'],
])('a card that is too large is a failure of this card (%i)', (statusCode, body) => {
  const outcome = judge(statusCode, body)
  expect(outcome).toMatchObject({
    kind: 'failed',
    error: expect.stringContaining('28 KB'),
    consequence: { stops: 'delivery' },
  })
})

test.each([
  [500, ''],
  [502, '<html>'],
  [400, error('TriggerInputSchemaMismatch')],
  [400, error('toString')],
  [400, '{"error":null}'],
  [400, '{"error":{"code":"Workflow'],
  [404, ''],
  [302, ''],
])('%i %s is a failure that stops nothing', (statusCode, body) => {
  const outcome = judge(statusCode, body)
  expect(outcome).toMatchObject({ kind: 'failed', statusCode })
  expect(outcome).not.toHaveProperty('consequence')
})

test('bytes that are no text are judged by the status', () => {
  const body = Buffer.from([0xff, 0xfe, 0, 0x80])
  const answer = { statusCode: 400, retryAfter: undefined, snippet: '', body }
  expect(judgeTeams(answer, 0)).toMatchObject({ kind: 'failed', error: 'HTTP 400' })
})
