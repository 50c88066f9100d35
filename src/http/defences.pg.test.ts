import { afterAll, describe, expect, test } from 'vitest'
import { addMember, openTestApi, type TestApi } from '../../test/fixtures/api.ts'
import { exchangeRaw } from '../../test/fixtures/raw-http.ts'
import { openReceiver } from '../../test/fixtures/receiver.ts'
import { makeLog } from '../telemetry/log.ts'
import { listen } from './listen.ts'

const PAGE = 'https://app.example.com'
const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

/** The API behind a real server. */
async function start(env: Readonly<Record<string, string>>) {
  const api = stack.use(await openTestApi({ LOG_LEVEL: 'info', ...env }))
  const server = stack.use(await listen('127.0.0.1', 0, api.fetch, { log: makeLog('silent') }))
  return { api, url: server.url, port: Number(new URL(server.url).port) }
}

function lastLine({ broken }: TestApi): unknown {
  return JSON.parse(broken.at(-1) ?? '{}')
}

const plain = await start({})
const { orgId, token } = await plain.api.addOrgOf('me')
const auth = { authorization: `Bearer ${token}` }

const HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
  'strict-transport-security': null,
  'access-control-allow-origin': null,
  'x-powered-by': null,
  server: null,
}

function pick(headers: Headers) {
  return Object.fromEntries(Object.keys(HEADERS).map((name) => [name, headers.get(name)]))
}

describe('every answer has the headers of a careful server, and no stack', () => {
  test.each([
    ['GET', '/healthz', 200, true],
    ['GET', '/readyz', 200, false],
    ['GET', '/openapi.json', 200, false],
    ['GET', '/event-types', 200, true],
    ['HEAD', '/event-types', 200, true],
    ['GET', '/orgs/nothing/webhooks', 404, true],
    ['GET', '/nowhere', 404, true],
    ['GET', '/nowhere', 401, false],
    ['PUT', '/orgs', 404, true],
    ['DELETE', '/healthz', 404, true],
    ['OPTIONS', '/event-types', 404, true],
    ['OPTIONS', '/event-types', 401, false],
    ['TRACE', '/event-types', 404, true],
    ['GET', '/%', 404, true],
    ['GET', '/orgs/%/events', 404, true],
    ['GET', '/orgs/%E0%A4%A/events', 404, true],
    ['GET', '/tools?orgId=%&format=%', 404, true],
    ['GET', '/orgs/..%2f..%2fetc/events', 404, true],
    ['GET', '//evil.example.com/%2e%2e', 404, true],
    ['GET', '/event-types?cursor=%00', 200, true],
  ])('%s %s: %i', async (method, path, status, withToken) => {
    const head = withToken ? `Authorization: ${auth.authorization}\r\n` : ''
    const text = `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${head}\r\n`
    const answer = await exchangeRaw(plain.port, text)
    expect(answer).toMatchObject({ status })
    expect(pick(answer.headers)).toEqual(HEADERS)
    expect(answer.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/)
    expect(answer.body).not.toMatch(/node_modules|\.ts:\d|at \w+ \(/)
    if (status >= 400 && method !== 'HEAD') {
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
      expect(JSON.parse(answer.body)).toMatchObject({ status, error: expect.any(String) })
    }
  })

  test('what breaks inside tells its request id, and the log the rest', async () => {
    const { api } = await start({ LOG_LEVEL: 'error' })
    await api.database.pool.query('drop table patchbay.org_members cascade')
    const answer = await api.call('GET', '/orgs/o/members', { token: api.superadmin })
    expect(answer).toMatchObject({ status: 500, body: { error: 'INTERNAL' } })
    expect(answer.text).not.toMatch(/org_members|relation|42P01|\.ts/)
    expect(pick(answer.headers)).toEqual(HEADERS)
    expect(api.broken).toHaveLength(1)
    expect(lastLine(api)).toMatchObject({
      msg: 'request.broke',
      request_id: answer.headers.get('x-request-id'),
      err: { code: '42P01' },
    })
  })

  test('the page of the documentation has a policy of its own', async () => {
    const { headers } = await plain.api.call('GET', '/docs')
    expect(headers.get('content-security-policy')).toContain("style-src 'unsafe-inline'")
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
    expect(headers.get('x-frame-options')).toBe('DENY')
  })
})

describe('a body', () => {
  const head = (more: string) =>
    `POST /orgs/${orgId}/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n` +
    `Authorization: ${auth.authorization}\r\nContent-Type: application/json\r\n${more}\r\n`
  const chunked = (bytes: number) => {
    const body = JSON.stringify({ type: 'a.b', data: {}, x: '' })
    const filled = body.replace('"x":""', `"x":"${'x'.repeat(bytes - body.length)}"`)
    const chunks = filled.match(/.{1,60000}/g) ?? []
    return `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`
  }
  const TE = 'Transfer-Encoding: chunked\r\n'
  const LIMIT = 1_048_576

  test('of 1 MiB in chunks is read, one byte more is not', async () => {
    // It has a field too many: that is said by who has read it.
    expect(await exchangeRaw(plain.port, head(TE), chunked(LIMIT))).toMatchObject({ status: 400 })
    const over = await exchangeRaw(plain.port, head(TE), chunked(LIMIT + 1))
    expect(over).toMatchObject({ status: 413 })
    expect(JSON.parse(over.body)).toMatchObject({ error: 'PAYLOAD_TOO_LARGE' })
  })

  test('that says it is over 1 MiB is refused before it comes', async () => {
    const more = `Content-Length: ${LIMIT + 1}\r\n`
    expect(await exchangeRaw(plain.port, head(more))).toMatchObject({ status: 413 })
  })

  test('whose sender leaves in the middle is the sender’s trouble, not the database’s', async () => {
    const id = 'left-in-the-middle'
    // A chunk of no size: the server cuts it off there.
    await exchangeRaw(plain.port, head(`X-Request-Id: ${id}\r\n${TE}`), 'zz\r\n')
    const line = () =>
      plain.api.broken.map((text) => JSON.parse(text)).find((l) => l.request_id === id)
    await expect
      .poll(line, { timeout: 20_000 })
      .toMatchObject({ status: 400, error: 'INVALID_BODY' })
  })

  test.each([
    ['deep lists', `{"type":"a.b","data":${'['.repeat(200)}${']'.repeat(200)}}`, 'deeper than 100'],
    ['deep objects without an end', '{"data":'.repeat(130_000), 'deeper than 100'],
    [
      'many members',
      JSON.stringify({
        data: Object.fromEntries(Array.from({ length: 60_000 }, (_, at) => [at, 1])),
      }),
      'more than 50000 members',
    ],
  ])('with %s is refused before it is parsed', async (_, text, what) => {
    const headers = { 'content-type': 'application/json' }
    const path = `/orgs/${orgId}/events`
    const answer = await plain.api.call('POST', path, { token, text, headers })
    expect(answer).toMatchObject({ status: 400, body: { error: 'INVALID_BODY' } })
    expect(answer.body.detail).toContain(what)
  })

  test('with thousands of unknown fields does not come back whole', async () => {
    const json = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`surprise${at}`, 1]))
    const answer = await plain.api.call('POST', `/orgs/${orgId}/events`, { token, json })
    expect(answer).toMatchObject({ status: 400, body: { error: 'INVALID_BODY' } })
    expect(answer.body.details.at(-1).message).toContain('surprise0')
    expect(answer.text.length).toBeLessThan(10_000)
  })

  test.each([
    ['an event', '/events', '{"type":"a.b","data":{"__proto__":{"polluted":1},"a":1}}'],
    ['an event itself', '/events', '{"type":"a.b","data":{},"__proto__":{"polluted":1}}'],
    [
      'an integration',
      '/integrations',
      '{"providerKey":"generic-webhook","name":"P","config":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}',
    ],
    ['a run', '/tools/clock.now/execute', '{"args":{"__proto__":{"polluted":1}}}'],
    ['a run itself', '/tools/clock.now/execute', '{"args":{},"__proto__":{"args":{}}}'],
    ['a turn', '/conversations', '{"title":"t","constructor":{"prototype":{"polluted":1}}}'],
  ])('with __proto__ or constructor as a name in %s pollutes nothing', async (_, path, text) => {
    const headers = { 'content-type': 'application/json' }
    const { status } = await plain.api.call('POST', `/orgs/${orgId}${path}`, {
      token,
      text,
      headers,
    })
    expect(status).toBeLessThan(500)
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('polluted')
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })
})

describe('pages of other origins', () => {
  const preflight = {
    origin: PAGE,
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,content-type',
  }

  test('are not let in where none is configured', async () => {
    const answer = await plain.api.call('OPTIONS', '/event-types', { headers: preflight })
    expect(answer).toMatchObject({ status: 401 })
    const read = await plain.api.call('GET', '/event-types', { token, headers: { origin: PAGE } })
    for (const { headers } of [answer, read]) {
      expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
    }
  })

  test('are let in where they are listed, without credentials but where an install begins; others are not', async () => {
    const { api } = await start({ CORS_ORIGINS: `${PAGE},https://two.example.com` })
    const asked = await api.call('OPTIONS', '/event-types', { headers: preflight })
    expect(asked).toMatchObject({ status: 204, text: '' })
    expect(Object.fromEntries(asked.headers)).toMatchObject({
      'access-control-allow-origin': PAGE,
      'access-control-allow-methods': 'GET,POST,PUT,PATCH,DELETE',
      'access-control-allow-headers':
        'authorization,content-type,idempotency-key,mcp-method,mcp-name,mcp-protocol-version,x-request-id',
      'access-control-max-age': '600',
      vary: expect.stringContaining('Origin'),
      'x-frame-options': 'DENY',
    })
    expect(asked.headers.get('access-control-allow-credentials')).toBeNull()
    const begun = await api.call('OPTIONS', '/integrations/slack/install', { headers: preflight })
    expect(begun.headers.get('access-control-allow-credentials')).toBe('true')
    // Also what is refused can be read by the page that asked.
    const refused = await api.call('GET', '/event-types', { headers: { origin: PAGE } })
    expect(refused).toMatchObject({ status: 401 })
    expect(refused.headers.get('access-control-allow-origin')).toBe(PAGE)
    expect(refused.headers.get('access-control-expose-headers')).toContain('retry-after')

    for (const origin of [
      'https://evil.example.com',
      'null',
      `${PAGE}.evil.com`,
      PAGE.toUpperCase(),
    ]) {
      const headers = { ...preflight, origin }
      const stranger = await api.call('OPTIONS', '/event-types', { headers })
      expect(stranger).toMatchObject({ status: 401 })
      expect(stranger.headers.get('access-control-allow-origin')).toBeNull()
      expect(stranger.headers.get('vary')).toContain('Origin')
    }
  })
})

describe('who asks', () => {
  const line = (status: number, error: string | null, more: object = {}) => ({
    level: 'info',
    msg: 'request.answered',
    status,
    ...(error === null ? {} : { error }),
    address: '127.0.0.1',
    ...more,
  })
  const ask = (path: string, headers: Record<string, string> = {}) =>
    fetch(plain.url + path, { headers })

  test('is in the line of every request, also of refused ones', async () => {
    const { api } = plain
    await addMember(api.database, orgId, 'watcher', 'viewer')
    const viewer = `Bearer ${await api.token('watcher')}`
    const stranger = `Bearer ${await api.token('stranger')}`
    await ask(`/orgs/${orgId}/events`)
    expect(lastLine(api)).toMatchObject(line(401, 'UNAUTHENTICATED'))
    await ask(`/orgs/${orgId}/events`, { authorization: viewer })
    expect(lastLine(api)).toMatchObject(
      line(403, 'FORBIDDEN', { org_id: orgId, principal_id: 'watcher' }),
    )
    await ask(`/orgs/${orgId}/events`, { authorization: stranger })
    expect(lastLine(api)).toMatchObject(
      line(404, 'NOT_FOUND', { org_id: orgId, principal_id: 'stranger' }),
    )
    await ask(`/tools?orgId=${orgId}`, { authorization: stranger })
    expect(lastLine(api)).toMatchObject(line(404, 'NOT_FOUND', { org_id: orgId }))
    await ask(`/orgs/${orgId}/events`, auth)
    expect(lastLine(api)).toMatchObject(line(200, null, { org_id: orgId, principal_id: 'me' }))
  })

  test('is the socket’s peer, whatever it says of itself', async () => {
    const forwarded = { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https' }
    const { headers } = await ask('/healthz', forwarded)
    expect(lastLine(plain.api)).toMatchObject({ address: '127.0.0.1' })
    expect(headers.get('strict-transport-security')).toBeNull()
  })

  test('is who a trusted proxy says, and over TLS browsers are told to stay there', async () => {
    const { api, url } = await start({ TRUSTED_PROXIES: '127.0.0.0/8' })
    const forwarded = { 'x-forwarded-for': '1.1.1.1, 203.0.113.9', 'x-forwarded-proto': 'https' }
    const { headers } = await fetch(`${url}/healthz`, { headers: forwarded })
    expect(lastLine(api)).toMatchObject({ address: '203.0.113.9' })
    expect(headers.get('strict-transport-security')).toBe('max-age=31536000')
    await fetch(`${url}/healthz`, { headers: { 'x-forwarded-proto': 'http' } })
    expect(lastLine(api)).toMatchObject({ address: '127.0.0.1' })
  })
})

describe('limits', () => {
  test('a principal has so many requests a minute, and is told when few are left', async () => {
    const { api } = await start({ RATE_LIMIT_PRINCIPAL: '3' })
    const other = await api.token('other')
    const mine = await api.token('mine')
    const left = []
    for (let at = 0; at < 3; at += 1) {
      const { status, headers } = await api.call('GET', '/event-types', { token: mine })
      left.push([status, headers.get('ratelimit-limit'), headers.get('ratelimit-remaining')])
    }
    expect(left).toEqual([
      [200, null, null],
      [200, '3', '1'],
      [200, '3', '0'],
    ])
    const refused = await api.call('GET', '/nowhere', { token: mine })
    expect(refused).toMatchObject({ status: 429, body: { error: 'RATE_LIMITED' } })
    const retryAfter = refused.headers.get('retry-after')
    expect(refused.headers.get('ratelimit-reset')).toBe(retryAfter)
    expect(Number(retryAfter)).toBeGreaterThan(1)
    expect(Number(retryAfter)).toBeLessThanOrEqual(60)
    expect(refused.headers.get('ratelimit-remaining')).toBe('0')
    expect(lastLine(api)).toMatchObject({
      status: 429,
      error: 'RATE_LIMITED',
      principal_id: 'mine',
    })
    expect(await api.call('GET', '/event-types', { token: other })).toMatchObject({ status: 200 })
    expect(await api.call('GET', '/healthz')).toMatchObject({ status: 200 })
  })

  test('without a limit there is none, and no header of it', async () => {
    const { api } = await start({ RATE_LIMIT_PRINCIPAL: '0' })
    const { headers } = await api.call('GET', '/event-types', { token: await api.token('mine') })
    expect(headers.get('ratelimit-limit')).toBeNull()
  })

  test('an org whose tools hang holds up no other org, and its own next runs are refused', async () => {
    const { api } = await start({ TOOL_CONCURRENCY: '1' })
    const held = Promise.withResolvers<void>()
    const endpoint = stack.use(
      await openReceiver((response, { url }) => {
        if (url === '/fast') response.end('{}')
        else void held.promise.then(() => response.end('{}'))
      }),
    )
    const addTool = async (at: string) => {
      const org = await api.addOrgOf(`owner of ${at}`)
      const base = `/orgs/${org.orgId}`
      const made = await api.call('POST', `${base}/integrations`, {
        token: org.token,
        json: { providerKey: 'generic-webhook', name: 'Tools' },
      })
      await api.call('POST', `${base}/integrations/${made.body.integration.id}/tools`, {
        token: org.token,
        json: {
          name: 'a.tool',
          description: 'Runs',
          argsSchema: { type: 'object' },
          httpConfig: { method: 'GET', url: endpoint.url + at },
        },
      })
      return () =>
        api.call('POST', `${base}/tools/a.tool/execute`, { token: org.token, json: { args: {} } })
    }
    const runSlow = await addTool('/slow')
    const runFast = await addTool('/fast')
    // One runs, four wait, one is too much.
    const runs = Array.from({ length: 6 }, runSlow)
    const first = await Promise.race(runs)
    expect(first).toMatchObject({ status: 429, body: { error: 'RATE_LIMITED' } })
    expect(first.headers.get('retry-after')).toBe('1')
    expect(await runFast()).toMatchObject({ status: 200 })
    held.resolve()
    const statuses = new Set((await Promise.all(runs)).map(({ status }) => status))
    expect(statuses).toEqual(new Set([200, 429]))
  })

  test('an integration has so many runs a minute, over all its tools', async () => {
    const { api } = await start({ RATE_LIMIT_INTEGRATION: '2' })
    const endpoint = stack.use(await openReceiver((response) => response.end('{}')))
    const org = await api.addOrgOf('owner')
    const base = `/orgs/${org.orgId}`
    const made = await api.call('POST', `${base}/integrations`, {
      token: org.token,
      json: { providerKey: 'generic-webhook', name: 'Tools' },
    })
    const statuses = []
    for (const name of ['one', 'two', 'three']) {
      await api.call('POST', `${base}/integrations/${made.body.integration.id}/tools`, {
        token: org.token,
        json: {
          name,
          description: 'Runs',
          argsSchema: { type: 'object' },
          httpConfig: { method: 'GET', url: endpoint.url },
        },
      })
      const run = { token: org.token, json: { args: {} } }
      statuses.push((await api.call('POST', `${base}/tools/${name}/execute`, run)).status)
    }
    expect(statuses).toEqual([200, 200, 429])
    expect(endpoint.requests).toHaveLength(2)
  })
})
