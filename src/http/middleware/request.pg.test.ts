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
