import { afterAll, describe, expect, test } from 'vitest'
import { openTestApi } from '../../../test/fixtures/api.ts'
import { openReceiver } from '../../../test/fixtures/receiver.ts'

const api = await openTestApi()
const endpoint = await openReceiver((response, { url }) => {
  if (url.startsWith('/hang')) return
  if (url.startsWith('/fail')) response.statusCode = 500
  if (url.startsWith('/redirect')) response.writeHead(302, { location: '/ok' })
  if (url.startsWith('/text')) response.end('plain words')
  else response.end(JSON.stringify({ issue: 'P-1' }))
})
afterAll(async () => {
  await endpoint[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})
const { orgId, token } = await api.addOrgOf('me')
const org = `/orgs/${orgId}`
const path = await addIntegration()

async function addIntegration(providerKey = 'generic-webhook'): Promise<string> {
  const credentials = providerKey === 'generic-webhook' ? { apiKey: 'k-very-secret' } : {}
  const json = { providerKey, name: 'Jira', credentials }
  const { body } = await api.call('POST', `${org}/integrations`, { token, json })
  return `${org}/integrations/${body.integration.id}/tools`
}

const argsSchema = {
  type: 'object',
  properties: { title: { type: 'string' }, size: { type: 'integer' } },
  required: ['title'],
  additionalProperties: false,
}

function definition(name: string, at = '/ok', more: object = {}) {
  const httpConfig = { method: 'POST', url: `${endpoint.url}${at}`, ...more }
  return { name, description: 'Makes an issue', argsSchema, httpConfig }
}

const define = (name: string, at?: string, more?: object) =>
  api.call('POST', path, { token, json: definition(name, at, more) })
const execute = (name: string, args: unknown = { title: 'x' }, headers = {}) =>
  api.call('POST', `${org}/tools/${name}/execute`, { token, json: { args }, headers })

async function runOf(runId: string) {
  const { rows } = await api.database.pool.query(
    `select r.outcome, r.user_id, r.source, e.type, e.data ->> 'runId' as event_run
     from patchbay.tool_runs as r
     left join patchbay.outbox_events as e on e.org_id = r.org_id and e.data ->> 'runId' = r.id::text
     where r.id = $1`,
    [runId],
  )
  return rows
}

describe('a tool', () => {
  test('is defined, changed and deleted', async () => {
    const created = await define('crud.tool')
    expect(created).toMatchObject({
      status: 201,
      body: { tool: { ...definition('crud.tool'), wireName: 'crud_tool', isEnabled: true, orgId } },
    })
    const one = `${path}/${created.body.tool.id}`
    const patched = await api.call('PATCH', one, {
      token,
      json: { name: 'crud.new', isEnabled: false },
    })
    expect(patched.body).toMatchObject({
      ok: true,
      tool: { name: 'crud.new', wireName: 'crud_new', isEnabled: false, argsSchema },
    })
    expect((await api.call('GET', one, { token })).body.tool).toEqual(patched.body.tool)
    expect((await api.call('GET', path, { token })).body.tools).toContainEqual(patched.body.tool)
    expect(await api.call('DELETE', one, { token })).toMatchObject({ status: 200 })
    expect(await api.call('GET', one, { token })).toMatchObject({ status: 404 })
  })

  test('keeps its name to itself, whatever the case', async () => {
    await define('taken.name')
    expect(await define('Taken.Name')).toMatchObject({ status: 409, body: { error: 'CONFLICT' } })
    expect(await define('CLOCK.now')).toMatchObject({ status: 409 })
  })

  test('gets a wire name of its own where two names map to one', async () => {
    const first = await define('same.wire')
    const second = await define('same_wire')
    expect(first.body.tool.wireName).toBe('same_wire')
    expect(second.body.tool.wireName).toMatch(/^same_wire_[0-9a-f]{6}$/)
  })

  test.each([
    ['a name of wrong grammar', { name: '1st' }, 'name'],
    ['a schema that is no object', { argsSchema: { type: 'string' } }, 'argsSchema'],
    ['a schema that is none', { argsSchema: { type: 'object', properties: 5 } }, 'argsSchema'],
    ['a reference outside', { argsSchema: { type: 'object', $ref: 'http://x/' } }, 'argsSchema'],
    [
      'a URL that is not allowed',
      definition('u', '', { url: 'http://10.0.0.1/' }),
      'httpConfig.url',
    ],
    [
      'a placeholder in the host',
      definition('u', '', { url: 'https://{{config.h}}.example.com/' }),
      'httpConfig.url',
    ],
    [
      'a credential that is not there',
      definition('u', '', { headers: { 'X-A': '{{credentials.no}}' } }),
      'httpConfig.headers.X-A',
    ],
    [
      'a header that frames',
      definition('u', '', { headers: { Host: 'x' } }),
      'httpConfig.headers.Host',
    ],
    ['a method that is none', definition('u', '', { method: 'TRACE' }), 'httpConfig.method'],
    ['a timeout over 30 s', definition('u', '', { timeoutMs: 30_001 }), 'httpConfig.timeoutMs'],
  ])('with %s is refused with its field', async (_, wrong, field) => {
    const json = { ...definition('wrong.tool'), ...wrong }
    expect(await api.call('POST', path, { token, json })).toMatchObject({
      status: 400,
      body: { error: 'INVALID_BODY', details: [{ path: field }] },
    })
  })

  test('on an app without tools is refused', async () => {
    const json = definition('none.such')
    const slack = await addIntegration('slack')
    const refused = { status: 422, body: { error: 'UNPROCESSABLE' } }
    expect(await api.call('POST', slack, { token, json })).toMatchObject(refused)
  })

  test('has a rate, can get another one and can lose it', async () => {
    const rated = { ...definition('rated.tool'), rateLimit: { perSecond: 5, perMinute: 100 } }
    const created = await api.call('POST', path, { token, json: rated })
    expect(created).toMatchObject({ status: 201, body: { tool: { rateLimit: rated.rateLimit } } })
    const one = `${path}/${created.body.tool.id}`
    const patch = async (json: unknown) => (await api.call('PATCH', one, { token, json })).body.tool
    expect(await patch({ rateLimit: { perMinute: 9 } })).toMatchObject({
      rateLimit: { perMinute: 9 },
    })
    expect(await patch({ description: 'Still' })).toMatchObject({ rateLimit: { perMinute: 9 } })
    expect(await patch({ rateLimit: null })).toMatchObject({ rateLimit: null })
    expect((await define('rateless.tool')).body.tool.rateLimit).toBeNull()
  })

  test.each([
    ['empty', {}, 'rateLimit'],
    ['zero', { perSecond: 0 }, 'rateLimit.perSecond'],
    ['half', { perMinute: 0.5 }, 'rateLimit.perMinute'],
    ['negative', { perMinute: -1 }, 'rateLimit.perMinute'],
    ['more than there is', { perSecond: 10_001 }, 'rateLimit.perSecond'],
    ['of another unit', { perHour: 1, perSecond: 1 }, 'rateLimit'],
    ['a number', 5, 'rateLimit'],
  ])('with a rate that is %s is refused with its field', async (_, rateLimit, field) => {
    const json = { ...definition('wrong.rate'), rateLimit }
    expect(await api.call('POST', path, { token, json })).toMatchObject({
      status: 400,
      body: { error: 'INVALID_BODY', details: [{ path: field }] },
    })
  })
})

describe('the list of tools', () => {
  test('has builtin and external ones, in the shape that was asked for', async () => {
    await define('list.tool')
    const native = await api.call('GET', `${org}/tools`, { token })
    expect(native.body.tools).toContainEqual({
      name: 'list.tool',
      wireName: 'list_tool',
      description: 'Makes an issue',
      argsSchema,
      source: 'external',
      integrationId: expect.any(String),
      outputSchema: null,
      approval: 'auto',
      isReadOnly: false,
      isIdempotent: false,
      isRemote: false,
    })
    expect(native.body.tools).toContainEqual(
      expect.objectContaining({ name: 'clock.now', source: 'builtin', integrationId: null }),
    )
    const openai = await api.call('GET', `/tools?orgId=${orgId}&format=openai`, { token })
    expect(openai.body.tools).toContainEqual({
      type: 'function',
      function: { name: 'list_tool', description: 'Makes an issue', parameters: argsSchema },
    })
    expect(native.text + openai.text).not.toContain('very-secret')
  })

  test('refuses a shape that nobody knows', async () => {
    const answer = await api.call('GET', `${org}/tools?format=xml`, { token })
    expect(answer).toMatchObject({ status: 400, body: { details: [{ path: 'format' }] } })
  })

  test('leaves out what is disabled', async () => {
    const { body } = await define('off.tool')
    await api.call('PATCH', `${path}/${body.tool.id}`, { token, json: { isEnabled: false } })
    const { text } = await api.call('GET', `${org}/tools`, { token })
    expect(text).not.toContain('off.tool')
    expect(await execute('off.tool')).toMatchObject({ status: 404 })
  })
})

describe('an execution', () => {
  test('calls the endpoint with the envelope and the credential, and records run and event', async () => {
    await define('run.ok', '/ok', { headers: { 'X-Api-Key': '{{credentials.apiKey}}' } })
    const answer = await execute('run.ok', { title: 'It broke', size: 2 })
    expect(answer).toMatchObject({ status: 200, body: { result: { issue: 'P-1' } } })
    const request = endpoint.requests.at(-1)
    expect(request).toMatchObject({ method: 'POST', headers: { 'x-api-key': 'k-very-secret' } })
    expect(JSON.parse(request?.body ?? '')).toEqual({
      orgId,
      userId: 'me',
      conversationId: null,
      args: { title: 'It broke', size: 2 },
    })
    const { runId } = answer.body
    expect(await runOf(runId)).toEqual([
      {
        outcome: 'success',
        user_id: 'me',
        source: 'api',
        type: 'tool.exec.success',
        event_run: runId,
      },
    ])
  })

  test('takes the wire name, and the org in the body', async () => {
    await define('run.wire', '/text')
    const json = { orgId, args: { title: 'x' } }
    const answer = await api.call('POST', '/tools/run_wire/execute', { token, json })
    expect(answer).toMatchObject({ status: 200, body: { result: 'plain words' } })
  })

  test.each([
    ['/fail', /HTTP 500/],
    ['/redirect', /HTTP 302/],
  ])('of an endpoint at %s is answered 502 with the run, which is recorded', async (at, detail) => {
    await define(`run${at.replace('/', '.')}`, at)
    const answer = await execute(`run${at.replace('/', '.')}`)
    expect(answer).toMatchObject({
      status: 502,
      body: {
        error: 'TOOL_FAILED',
        runId: expect.any(String),
        detail: expect.stringMatching(detail),
      },
    })
    expect(await runOf(answer.body.runId)).toMatchObject([
      { outcome: 'error', type: 'tool.exec.error', event_run: answer.body.runId },
    ])
  })

  test('of an endpoint that hangs is answered 504 with the run, which is recorded', async () => {
    await define('run.hang', '/hang', { timeoutMs: 150 })
    const answer = await execute('run.hang')
    expect(answer).toMatchObject({ status: 504, body: { error: 'TOOL_TIMEOUT' } })
    expect(await runOf(answer.body.runId)).toMatchObject([
      { outcome: 'timeout', type: 'tool.exec.error' },
    ])
  })

  test('that failed is not run again for the same key', async () => {
    await define('run.once', '/fail/once')
    const headers = { 'idempotency-key': 'run-once' }
    const first = await execute('run.once', { title: 'x' }, headers)
    const again = await execute('run.once', { title: 'x' }, headers)
    expect(again).toMatchObject({ status: 502, text: first.text })
    expect(endpoint.requests.filter(({ url }) => url === '/fail/once')).toHaveLength(1)
  })

  test.each([
    [{}, 'args.title'],
    [{ title: 5 }, 'args.title'],
    [{ title: 'x', other: 1 }, 'args.other'],
  ])(
    'with the arguments %j is refused with their name, before anything is called',
    async (args, field) => {
      await define('run.args', '/never')
      expect(await execute('run.args', args)).toMatchObject({
        status: 400,
        body: { error: 'INVALID_BODY', details: [{ path: field }] },
      })
      expect(endpoint.requests.filter(({ url }) => url === '/never')).toEqual([])
    },
  )

  test('of a name that is not there hints at one that is', async () => {
    const answer = await execute('clock.noww', {})
    expect(answer).toMatchObject({ status: 404, body: { error: 'NOT_FOUND' } })
    expect(answer.body.detail).toContain('clock.now')
  })

  test('with another org in the body than in the path is not found', async () => {
    const json = { orgId: 'other', args: {} }
    const answer = await api.call('POST', `${org}/tools/clock.now/execute`, { token, json })
    expect(answer).toMatchObject({ status: 404 })
  })
})

describe('a tool that reads conversations', () => {
  const name = 'conversation.search'
  const keyOf = async (permissions: readonly string[]): Promise<string> => {
    const json = { name: 'Tools', permissions }
    return (await api.call('POST', `${org}/api-keys`, { token, json })).body.key
  }

  test('is there, everywhere, for who may chat alone', async () => {
    const [outside, inside] = await Promise.all([
      keyOf(['org:tools:use', 'org:tools:manage']),
      keyOf(['org:tools:use', 'org:chat']),
    ])
    for (const [key, isThere] of [
      [outside, false],
      [inside, true],
    ] as const) {
      for (const list of [`${org}/tools`, `/tools?orgId=${orgId}`, `${org}/tools?format=openai`]) {
        const { text } = await api.call('GET', list, { token: key })
        expect(text.includes('"clock')).toBe(true)
        expect(text.includes('"conversation')).toBe(isThere)
      }
      for (const wanted of [name, 'conversation_search', 'Conversation.Search']) {
        for (const run of [`${org}/tools/${wanted}/execute`, `/tools/${wanted}/execute`]) {
          const json = { orgId, args: { query: 'x' } }
          const answer = await api.call('POST', run, { token: key, json })
          expect(answer.status).toBe(isThere ? 200 : 404)
        }
      }
      const path = `${org}/tools/conversation.serch/execute`
      const { body } = await api.call('POST', path, { token: key, json: { args: {} } })
      expect(body.detail.includes(name)).toBe(isThere)
    }
  })
})

test('nothing of all this broke inside', () => {
  expect(api.broken).toEqual([])
})

describe('the rate of a tool', () => {
  test('holds for whoever runs it, by its name and by its wire name; the next one is told when to come back', async () => {
    const json = { ...definition('few.runs'), rateLimit: { perMinute: 2 } }
    await api.call('POST', path, { token, json })
    expect(await execute('few.runs')).toMatchObject({ status: 200 })
    expect(await execute('few_runs')).toMatchObject({ status: 200 })
    const before = endpoint.requests.length
    const answer = await execute('few.runs')
    expect(answer).toMatchObject({ status: 429, body: { error: 'RATE_LIMITED' } })
    const retryAfterS = Number(answer.headers.get('retry-after'))
    expect(retryAfterS).toBeGreaterThan(1)
    expect(retryAfterS).toBeLessThanOrEqual(60)
    expect(answer.body.detail).toContain(`try again in ${retryAfterS} s`)
    expect(endpoint.requests).toHaveLength(before)
    // Another tool of the integration has nothing to do with it.
    await define('many.runs')
    expect(await execute('many.runs')).toMatchObject({ status: 200 })
  })

  test('is told to the model that meets it in a turn', async () => {
    const json = { ...definition('rare.run'), rateLimit: { perMinute: 1 } }
    await api.call('POST', path, { token, json })
    await execute('rare.run')
    const { body } = await api.call('POST', `${org}/conversations`, { token, json: {} })
    const answer = await api.call('POST', `${org}/conversations/${body.conversation.id}/turns`, {
      token,
      json: { content: 'use rare.run {"title":"x"}' },
    })
    expect(answer).toMatchObject({ status: 200, body: { toolRuns: [] } })
    expect(answer.body.assistantMessage.content).toMatch(
      /rare\.run: its rate of 1 a minute is used up; try again in \d+ s/,
    )
  })
})
