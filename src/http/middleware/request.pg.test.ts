import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { openTestApi } from '../../../test/fixtures/api.ts'
import { exchangeRaw } from '../../../test/fixtures/raw-http.ts'
import { makeLog } from '../../telemetry/log.ts'
import { listen } from '../listen.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())
const api = stack.use(await openTestApi({ LOG_LEVEL: 'info' }))
const server = stack.use(await listen('127.0.0.1', 0, api.fetch, { log: makeLog('silent') }))
const port = Number(new URL(server.url).port)
const { orgId, token } = await api.addOrgOf('me')

const POST = `POST /orgs/${orgId}/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n`
const AUTH = `Authorization: Bearer ${token}\r\n`
const BODY = JSON.stringify({ type: 'a.b', data: {} })

const lengthOf = (bytes: number) => `Content-Length: ${bytes}\r\n\r\n`

describe('one who waits for 100 Continue', () => {
  const EXPECT = 'Expect: 100-continue\r\n'

  test.each([
    ['without a token', '', 401, 'UNAUTHENTICATED'],
    ['with a body over 1 MiB', AUTH, 413, 'PAYLOAD_TOO_LARGE'],
  ])('%s is refused at once', async (_, auth, status, error) => {
    const answer = await exchangeRaw(port, POST + auth + EXPECT + lengthOf(99_999_999))
    expect(answer).toMatchObject({ status })
    expect(answer.headers.get('connection')).toBe('close')
    expect(JSON.parse(answer.body)).toMatchObject({ status, error })
    expect(JSON.parse(api.broken.at(-1) ?? '')).toMatchObject({ msg: 'request.answered', status })
  })

  test('hears it when all that can be known before is in order', async () => {
    const answer = await exchangeRaw(port, POST + AUTH + EXPECT + lengthOf(BODY.length), BODY)
    expect(answer).toMatchObject({ status: 100, body: expect.stringMatching(/^HTTP\/1\.1 202 /) })
  })
})

describe('a content coding', () => {
  const send = (coding: string, body: string | Buffer) =>
    exchangeRaw(port, `${POST}${AUTH}Content-Encoding: ${coding}\r\n${lengthOf(body.length)}`, body)

  test.each([
    ['that is true', 'gzip', gzipSync(BODY)],
    ['that is not', 'gzip', BODY],
    ['in capitals', 'GZIP', BODY],
    ['nobody knows', 'x-mine', BODY],
    ['behind one that does nothing', 'identity, br', BODY],
    ['over more than may come', 'gzip', gzipSync(Buffer.alloc(2_000_000, ' '))],
    ['of nothing', 'gzip', ''],
  ])('%s is refused, and none is offered', async (_, coding, body) => {
    const { status, headers, body: text } = await send(coding, body)
    expect({ status, text }).toMatchObject({ status: 415 })
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect(headers.get('accept-encoding')).toBe('identity')
    expect(JSON.parse(text)).toMatchObject({
      error: 'UNSUPPORTED_MEDIA_TYPE',
      detail: expect.stringContaining('Content-Encoding'),
    })
  })

  test.each(['identity', 'Identity', ''])('"%s" is none', async (coding) => {
    expect(await send(coding, BODY)).toMatchObject({ status: 202 })
  })

  test('is looked at before a byte of the body is asked for', async () => {
    const head = `${POST}${AUTH}Content-Encoding: gzip\r\nExpect: 100-continue\r\n`
    expect(await exchangeRaw(port, head + lengthOf(10))).toMatchObject({ status: 415 })
  })
})
