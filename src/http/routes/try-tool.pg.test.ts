import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { addMember, openTestApi } from '../../../test/fixtures/api.ts'
import { type Answer, openReceiver } from '../../../test/fixtures/receiver.ts'

const ok: Answer = (response) => response.end('{"ok":true}')
let answer = ok
const endpoint = await openReceiver((response, request) => answer(response, request))
const api = await openTestApi()
afterAll(async () => {
  await endpoint[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})
beforeEach(() => {
  answer = ok
  endpoint.requests.length = 0
})

const { orgId, token } = await api.addOrgOf('me')
const made = await api.call('POST', `/orgs/${orgId}/integrations`, {
  token,
  json: { providerKey: 'generic-webhook', name: 'Jira', credentials: { apiKey: 'k-very-secret' } },
})
const integration = `/orgs/${orgId}/integrations/${made.body.integration.id}`
const argsSchema = {
  type: 'object',
  properties: { title: { type: 'string' }, pin: { type: 'string', 'x-secret': true } },
  required: ['title'],
}
let count = 0

async function define(more: object = {}, http: object = {}): Promise<string> {
  count += 1
  const headers = { authorization: 'Bearer {{credentials.apiKey}}', 'x-team': 'ops' }
  const url = `${endpoint.url}/run?key={{credentials.apiKey}}`
  const json = {
    name: `tried.tool${count}`,
    description: 'Makes an issue',
    argsSchema,
    httpConfig: { method: 'POST', url, headers, ...http },
    ...more,
  }
  const { body } = await api.call('POST', `${integration}/tools`, { token, json })
  return `${integration}/tools/${body.tool.id}`
}

const tryIt = (tool: string, args: object = { title: 'Hi' }, headers = {}) =>
  api.call('POST', `${tool}/test`, { token, json: { args }, headers })

async function rowsOf(runId: string) {
  const { rows } = await api.database.pool.query(
    `select r.outcome, r.source, r.user_id, r.arguments, a.action, a.detail
     from patchbay.tool_runs as r
     left join patchbay.audit_log as a on a.org_id = r.org_id and a.target = r.id::text
     where r.id = $1`,
    [runId],
  )
  return rows
}

describe('trying a tool', () => {
  test('shows what was sent and answered, and no secret of it', async () => {
    answer = (response, { headers }) => response.end(JSON.stringify({ echo: headers }))
    const tool = await define()
    const tried = await tryIt(tool, { title: 'Hi', pin: 'hunter22' })
    expect(tried).toMatchObject({
      status: 200,
      body: {
        outcome: 'success',
        error: null,
        request: {
          method: 'POST',
          url: `${endpoint.url}/run?key=[secret]`,
          headers: {
            authorization: 'Bearer [secret]',
            'x-team': 'ops',
            'x-ai-chat-test': 'true',
            'x-ai-chat-context': '[token]',
            'idempotency-key': tried.body.runId,
          },
        },
        response: { statusCode: 200, bodyIsCut: false },
      },
    })
    expect(JSON.parse(tried.body.request.body)).toMatchObject({
      orgId,
      userId: 'me',
      args: { title: 'Hi', pin: '[secret]' },
    })
    expect(JSON.parse(tried.body.response.body)).toMatchObject({ echo: { 'x-team': 'ops' } })
    expect(tried.text).not.toMatch(/k-very-secret|hunter22/)
    const [sent] = endpoint.requests
    expect(sent?.headers.authorization).toBe('Bearer k-very-secret')
    expect(String(sent?.body)).toContain('hunter22')
  })

  test('is a run of its own kind in the audit log, and its event wakes the workers', async () => {
    const tool = await define()
    const wakes = api.wakes()
    const { body } = await tryIt(tool, { title: 'Hi', pin: 'hunter22' })
    expect(await rowsOf(body.runId)).toMatchObject([
      {
        outcome: 'success',
        source: 'api',
        user_id: 'me',
        arguments: { title: 'Hi', pin: '[secret]' },
        action: 'tool.tested',
        detail: { outcome: 'success' },
      },
    ])
    expect(api.wakes()).toBe(wakes + 1)
  })

  test('calls a tool that is disabled, and one that would have to be approved', async () => {
    const disabled = await define({ isEnabled: false })
    const asking = await define({ approval: 'ask' })
    expect((await tryIt(disabled)).body).toMatchObject({ outcome: 'success' })
    expect((await tryIt(asking)).body).toMatchObject({ outcome: 'success' })
    expect(endpoint.requests).toHaveLength(2)
  })

  test('answers with 200 whatever the endpoint does', async () => {
    answer = (response) => {
      response.statusCode = 500
      response.end('k-very-secret is wrong')
    }
    const failed = await tryIt(await define())
    expect(failed).toMatchObject({
      status: 200,
      body: {
        outcome: 'error',
        error: 'HTTP 500: [secret] is wrong',
        response: { statusCode: 500, body: '[secret] is wrong' },
      },
    })
    expect(await rowsOf(failed.body.runId)).toMatchObject([{ outcome: 'error' }])
    answer = () => undefined
    const hanging = await tryIt(await define({}, { timeoutMs: 100 }))
    expect(hanging.body).toMatchObject({
      outcome: 'timeout',
      request: { method: 'POST' },
      response: null,
    })
  })

  test('sends nothing to a host that the org has left off its list since, and is a run all the same', async () => {
    const tool = await define()
    const list = `/orgs/${orgId}/egress-allow-list`
    await api.call('PUT', list, { token, json: { domains: ['api.example.com'] } })
    const { status, body } = await tryIt(tool)
    await api.call('PUT', list, { token, json: { domains: null } })
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { outcome: 'blocked', request: null, response: null },
    })
    expect(endpoint.requests).toEqual([])
    expect(await rowsOf(body.runId)).toMatchObject([{ outcome: 'blocked', action: 'tool.tested' }])
  })

  test('refuses arguments that do not fit by name, and there is no run', async () => {
    const before = await api.database.pool.query('select count(*) from patchbay.tool_runs')
    expect(await tryIt(await define(), {})).toMatchObject({
      status: 400,
      body: { error: 'INVALID_BODY', details: [{ path: 'args.title', message: 'is missing' }] },
    })
    const after = await api.database.pool.query('select count(*) from patchbay.tool_runs')
    expect(after.rows).toEqual(before.rows)
  })

  test('with one Idempotency-Key is one call', async () => {
    const tool = await define()
    const headers = { 'idempotency-key': 'try-once' }
    const first = await tryIt(tool, { title: 'Hi' }, headers)
    const again = await tryIt(tool, { title: 'Hi' }, headers)
    expect(again.body).toEqual(first.body)
    expect(endpoint.requests).toHaveLength(1)
  })

  test('is not for members, nor for a tool of another org', async () => {
    const tool = await define()
    await addMember(api.database, orgId, 'member', 'member')
    const json = { args: { title: 'Hi' } }
    const member = await api.token('member')
    expect(await api.call('POST', `${tool}/test`, { token: member, json })).toMatchObject({
      status: 403,
    })
    const other = await api.addOrgOf('they')
    const theirs = `${tool}/test`.replace(orgId, other.orgId)
    expect(await api.call('POST', theirs, { token: other.token, json })).toMatchObject({
      status: 404,
    })
    expect(endpoint.requests).toEqual([])
  })
})
