import { expect, test } from 'vitest'
import { toolPayload, writePayload } from './payload.ts'

const BOUNDARY = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c03'
const write = (mediaType: string, value: unknown, more: object = {}) =>
  writePayload(toolPayload.parse({ mediaType, ...more }), value, BOUNDARY)

test('JSON goes under the name that the document gives it', () => {
  expect(write('application/vnd.api+json', { a: [null, 'ä'] })).toEqual({
    body: '{"a":[null,"ä"]}',
    contentType: 'application/vnd.api+json',
  })
})

test('a form has lists as the same name again, and objects as JSON', () => {
  const value = { to: ['a b', 'c&d'], who: { id: 1 }, note: 'x=y', gone: null }
  expect(write('application/x-www-form-urlencoded', value)).toEqual({
    body: 'to=a%20b&to=c%26d&who=%7B%22id%22%3A1%7D&note=x%3Dy',
    contentType: 'application/x-www-form-urlencoded',
  })
})

test('a form writes members as its encoding says', () => {
  const encoding = { meta: { style: 'deepObject', explode: true }, ids: { explode: false } }
  const value = { meta: { order: { id: 7 } }, ids: [1, 2] }
  const { body } = write('application/x-www-form-urlencoded', value, { encoding })
  expect(body).toBe('meta%5Border%5D%5Bid%5D=7&ids=1,2')
})

test('a multipart form has a part for each value, whose name cannot leave its quotes', () => {
  const value = { 'a"\r\nb': 'x', tags: ['p', 'q'], meta: { n: 1 } }
  expect(write('multipart/form-data', value)).toEqual({
    contentType: `multipart/form-data; boundary=${BOUNDARY}`,
    body: [
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="a%22%0D%0Ab"\r\n\r\nx\r\n`,
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="tags"\r\n\r\np\r\n`,
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="tags"\r\n\r\nq\r\n`,
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="meta"\r\nContent-Type: application/json\r\n\r\n{"n":1}\r\n`,
      `--${BOUNDARY}--\r\n`,
    ].join(''),
  })
})

test('text is sent as it is', () => {
  expect(write('text/plain', 'a\nb')).toEqual({
    body: 'a\nb',
    contentType: 'text/plain; charset=utf-8',
  })
})

test.each(['application/xml', 'application/octet-stream', 'application/json\r\nx: y'])(
  'a payload of %j is refused',
  (mediaType) => expect(toolPayload.safeParse({ mediaType }).success).toBe(false),
)
