import { expect, test } from 'vitest'
import { readRpcAnswer } from './rpc-answer.ts'

const RESULT = '{"jsonrpc":"2.0","id":1,"result":{}}'
const PROGRESS = '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'

function read(contentType: string, body: string, isCut = false) {
  return readRpcAnswer({ contentType, body, isCut, maxBytes: 1000 }, 1)
}

test.each([
  ['application/json', RESULT],
  ['application/json; charset=utf-8', ` ${RESULT}\n`],
  ['APPLICATION/JSON', `[${PROGRESS},${RESULT}]`],
  ['text/event-stream', `data: ${RESULT}\n\n`],
  ['text/event-stream', `: hello\n\nevent: message\nid: 7\ndata:${RESULT}\n\n`],
  ['text/event-stream', `data: ${PROGRESS}\r\n\r\ndata: ${RESULT}\r\n\r\n`],
  ['text/event-stream', `data: {"jsonrpc":"2.0","id":1,\ndata: "result":{}}\n\n`],
  ['text/event-stream', `data: not JSON\n\ndata: ${RESULT}`],
])('the answer is found in %s %j', (contentType, body) => {
  expect(read(contentType, body)).toEqual({ kind: 'message', text: RESULT })
})

test('an error without an id answers too', () => {
  const error = '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}'
  expect(read('application/json', error)).toEqual({ kind: 'message', text: error })
})

test('a stream that was cut after the answer has it', () => {
  expect(read('text/event-stream', `data: ${RESULT}\n\ndata: {"js`, true).kind).toBe('message')
})

test.each([
  ['text/html', '<html>', 'answered text/html'],
  ['', RESULT, 'without a content type'],
  ['<script>', RESULT, 'something else'],
  ['application/json', '{', 'not JSON'],
  ['application/json', '7', 'without a response'],
  ['application/json', RESULT.replace('1', '2'), 'without a response'],
  ['text/event-stream', '', 'without a response'],
  ['text/event-stream', `data: ${PROGRESS}\n\n`, 'without a response'],
  ['text/event-stream', 'data: {"jsonrpc":"2.0","id":1,"method":"ping"}\n\n', 'without a response'],
])('of %s %j is told what is wrong', (contentType, body, reason) => {
  expect(read(contentType, body)).toEqual({
    kind: 'problem',
    reason: expect.stringContaining(reason),
  })
})

test('an answer that was cut says how long it may be', () => {
  expect(read('application/json', RESULT.slice(0, 9), true)).toMatchObject({
    reason: 'its answer is over 1000 bytes',
  })
})
