import { expect, test } from 'vitest'
import { headerOf, headersOf, makeReadRequests } from './read-requests.ts'

const POST =
  'POST /lane/1 HTTP/1.1\r\nhost: a\r\nwebhook-id: e1\r\ncontent-length: 7\r\n\r\n{"a":1}'
const GET = 'GET /control/counts HTTP/1.1\r\nhost: a\r\n\r\n'

function read(...chunks: readonly string[]): string[] {
  const found: string[] = []
  const take = makeReadRequests(({ path, head, body }) => {
    found.push(`${path} ${headerOf(head, 'webhook-id')} ${body}`)
  })
  for (const chunk of chunks) take(Buffer.from(chunk))
  return found
}

test('requests that come in one piece are read one after another', () => {
  expect(read(POST + GET + POST)).toEqual([
    '/lane/1 e1 {"a":1}',
    '/control/counts null ',
    '/lane/1 e1 {"a":1}',
  ])
})

test('a request that is cut anywhere is read when its last byte is there', () => {
  for (let cut = 1; cut < POST.length; cut += 1) {
    expect(read(POST.slice(0, cut)), `cut at ${cut}`).toEqual([])
    expect(read(POST.slice(0, cut), POST.slice(cut) + GET), `cut at ${cut}`).toEqual([
      '/lane/1 e1 {"a":1}',
      '/control/counts null ',
    ])
  }
})

test('bytes of a body that look like the end of a head are the body’s', () => {
  const body = 'a\r\n\r\nb'
  const post = `POST / HTTP/1.1\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  expect(read(post + post)).toEqual([`/ null ${body}`, `/ null ${body}`])
})

test('headers are found by their names in lower case, however they were written', () => {
  const head = 'POST / HTTP/1.1\r\nX-AI-Chat-Event: a.b\r\nwebhook-signature: v1,a= v1,b='
  expect(headersOf(head)).toEqual({
    'x-ai-chat-event': 'a.b',
    'webhook-signature': 'v1,a= v1,b=',
  })
})
