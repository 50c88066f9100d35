import { afterAll, beforeEach, expect, test } from 'vitest'
import { openTestApi } from '../../test/fixtures/api.ts'
import { ERAS, openMcpClient } from '../../test/fixtures/mcp-client.ts'
import { textOf } from '../../test/fixtures/mcp-world.ts'
import { openReceiver } from '../../test/fixtures/receiver.ts'
import { listen } from '../http/listen.ts'
import { makeLog } from '../telemetry/log.ts'

/** Calls that have to be approved, by MCP clients, on real approvals. */
const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())
const api = stack.use(await openTestApi())
const server = stack.use(await listen('127.0.0.1', 0, api.fetch, { log: makeLog('silent') }))
const endpoint = stack.use(
  await openReceiver((response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"deleted":true}')
  }),
)
const { orgId, token } = await api.addOrgOf('me')

async function post(path: string, json: unknown) {
  const answer = await api.call('POST', `/orgs/${orgId}${path}`, { token, json })
  expect(answer.text).toSatisfy(() => answer.status < 300)
  return answer.body
}

const { key } = await post('/api-keys', { name: 'MCP', permissions: ['org:tools:use'] })
const { integration } = await post('/integrations', {
  providerKey: 'generic-webhook',
  name: 'Tools',
})
await post(`/integrations/${integration.id}/tools`, {
  name: 'jira.delete',
  description: 'Deletes an issue.',
  argsSchema: { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] },
  httpConfig: { method: 'POST', url: endpoint.url },
  approval: 'ask',
})

const url = `${server.url}/orgs/${orgId}/mcp`
let calls = 0
/** Each test has a call of its own: the same call of the same person is the same approval. */
let call = { name: 'jira_delete', arguments: { key: '' } }
beforeEach(() => {
  endpoint.requests.length = 0
  calls += 1
  call = { name: 'jira_delete', arguments: { key: `A-${calls}` } }
})

const idIn = (text: string) => /approval ([0-9a-f-]{36})/.exec(text)?.[1]

async function approvals(state: string) {
  const path = `/orgs/${orgId}/approvals?state=${state}`
  const { body } = await api.call('GET', path, { token })
  return body.approvals
}

test('whoever may decide does so at the client, and the call runs, once for each yes', async () => {
  const questions: string[] = []
  await using client = await openMcpClient(url, {
    era: '2026-07-28',
    token,
    onQuestion: (message) => {
      questions.push(message)
      return { action: 'accept', content: { approve: true } }
    },
  })
  for (const times of [1, 2]) {
    expect(textOf(await client.callTool(call))).toBe('{"deleted":true}')
    expect(endpoint.requests).toHaveLength(times)
    expect(questions).toHaveLength(times)
  }
  expect(questions[0]).toContain(call.arguments.key)
  const [last] = await approvals('approved')
  expect(last).toMatchObject({ tool: 'jira.delete', decidedBy: 'me', source: 'mcp' })
})

test('a no at the client is the end of the call', async () => {
  await using client = await openMcpClient(url, {
    era: '2026-07-28',
    token,
    onQuestion: () => ({ action: 'decline' }),
  })
  const result = await client.callTool(call)
  expect(result.isError).toBe(true)
  expect(textOf(result)).toContain('me denied this call')
  expect(endpoint.requests).toEqual([])
})

test.each(ERAS)(
  'a client of %s is told what its call waits for, and later its result',
  async (era) => {
    await using client = await openMcpClient(url, {
      era,
      token: key,
      onQuestion: () => ({ action: 'accept', content: { approve: true } }),
    })
    const waiting = textOf(await client.callTool(call))
    const id = idIn(waiting)
    expect(waiting).toContain(`POST /orgs/${orgId}/approvals/${id}`)
    expect(idIn(textOf(await client.callTool(call)))).toBe(id)
    expect(endpoint.requests).toEqual([])
    await post(`/approvals/${id}`, { decision: 'approve' })
    await expect.poll(async () => textOf(await client.callTool(call))).toBe('{"deleted":true}')
    expect(endpoint.requests).toHaveLength(1)
  },
)

test('a question that somebody else has answered meanwhile is answered', async () => {
  await using client = await openMcpClient(url, {
    era: '2026-07-28',
    token,
    onQuestion: async () => {
      const [{ id }] = await approvals('pending')
      await post(`/approvals/${id}`, { decision: 'deny' })
      return { action: 'accept', content: { approve: true } }
    },
  })
  expect(textOf(await client.callTool(call))).toContain('me denied this call')
  expect(endpoint.requests).toEqual([])
})

test('nothing broke inside', () => {
  expect(api.broken).toEqual([])
})
