import { createRemoteJWKSet, jwtVerify } from 'jose'
import { Webhook } from 'standardwebhooks'
import { afterAll, expect, test } from 'vitest'
import { openSlack } from '../doubles/slack.ts'
import { ERAS, openMcpClient } from '../fixtures/mcp-client.ts'
import { until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { HOSTS } from '../host/hosts.ts'
import { done } from './chat.ts'
import { connect, openWorkspace, slackSettings } from './slack-workspace.ts'
import { openStory } from './story.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const slack = stack.use(await openSlack({ burst: 100 }))
const story = stack.use(await openStory({ env: slackSettings(slack) }))
connect(slack, story)
const endpoint = stack.use(
  await openReceiver((response, { body }) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ key: 'OPS-7', title: JSON.parse(body).args.title }))
  }),
)

test('one tool, defined once, is called by a chat, the API, two model loops, MCP clients of both eras, and from Slack with approval', async () => {
  const { org, channel, path } = await openWorkspace(slack, story, 'Everywhere')
  const integrations = `${org.path}/integrations`
  const installed = await done(
    org.call('POST', integrations, { providerKey: 'generic-webhook', name: 'Issues' }),
  )
  const tools = `${integrations}/${installed.integration.id}/tools`
  const { tool } = await done(
    org.call('POST', tools, {
      name: 'jira.createIssue',
      description: 'Makes an issue.',
      argsSchema: {
        type: 'object',
        properties: { title: { type: 'string' } },
        required: ['title'],
        additionalProperties: false,
      },
      httpConfig: { method: 'POST', url: `${endpoint.url}/issues` },
    }),
  )

  // (a) the reference chat
  const { conversation } = await done(org.call('POST', `${org.path}/conversations`, {}))
  const turn = await done(
    org.call('POST', `${org.path}/conversations/${conversation.id}/turns`, {
      content: 'use jira.createIssue {"title":"chat"}',
    }),
  )
  expect(turn.assistantMessage.content).toContain('OPS-7')

  // (b) the API
  const executed = await done(
    org.call('POST', `${org.path}/tools/jira.createIssue/execute`, { args: { title: 'api' } }),
  )
  expect(executed.result).toEqual({ key: 'OPS-7', title: 'api' })

  // (c), (d) a chat product of its own, on OpenAI's and on Anthropic's API
  const { key } = await done(
    org.call('POST', `${org.path}/api-keys`, { name: 'chat', permissions: ['org:tools:use'] }),
  )
  const patchbay = { url: story.url, orgId: org.id, token: key }
  for (const name of ['OpenAI chat completions', 'Anthropic Messages']) {
    await using host = await HOSTS[name]?.(({ results }) =>
      results.length === 0
        ? { calls: [{ name: 'jira_createIssue', args: { title: name } }] }
        : { text: results.at(-1)?.text ?? '' },
    )
    expect(await host?.ask(patchbay, 'File it.')).toContain('OPS-7')
    expect(host?.refused).toEqual([])
  }

  // (e) an MCP client of each era
  for (const era of ERAS) {
    const url = `${story.url}${org.path}/mcp`
    await using client = await openMcpClient(url, { era, token: key })
    const { tools: listed } = await client.listTools()
    expect(listed.map(({ name }) => name)).toContain('jira_createIssue')
    const result = await client.callTool({ name: 'jira_createIssue', arguments: { title: era } })
    expect(JSON.stringify(result.content)).toContain('OPS-7')
  }

  // (f) a Slack user, with approval
  await done(org.call('PATCH', `${tools}/${tool.id}`, { approval: 'ask' }))
  await done(org.call('PATCH', path, { config: { approvers: ['UBEA'] } }))
  await slack.mention({ channel, user: 'UANN', text: 'use jira.createIssue {"title":"slack"}' })
  const asks = () => slack.messagesIn(channel).find(({ buttons }) => buttons.length > 0)
  await until('the thread has the request', () => asks() !== undefined)
  const message = asks()
  if (message === undefined) throw new Error('there is no request')
  await slack.clickButton({ message, user: 'UBEA', actionId: 'patchbay.approve' })
  await until('the assistant goes on', () =>
    slack.messagesIn(channel).some(({ shown }) => shown.includes('was approved by slack:UBEA')),
  )

  const { rows } = await story.pool.query(
    `select source, user_id, outcome, arguments ->> 'title' as title, approval_id is not null as approved
     from patchbay.tool_runs where org_id = $1 and tool = 'jira.createIssue' order by id`,
    [org.id],
  )
  const byKey = { user_id: expect.stringMatching(/^key:/), outcome: 'success', approved: false }
  expect(rows).toEqual([
    { ...byKey, source: 'chat', user_id: expect.any(String), title: 'chat' },
    { ...byKey, source: 'api', user_id: expect.any(String), title: 'api' },
    { ...byKey, source: 'api', title: 'OpenAI chat completions' },
    { ...byKey, source: 'api', title: 'Anthropic Messages' },
    { ...byKey, source: 'mcp', title: '2026-07-28' },
    { ...byKey, source: 'mcp', title: '2025-11-25' },
    { source: 'slack', user_id: 'slack:UANN', outcome: 'success', title: 'slack', approved: true },
  ])

  // Each of them came signed, and says for whom.
  const keys = createRemoteJWKSet(new URL(`${story.url}/.well-known/jwks.json`))
  expect(endpoint.requests).toHaveLength(7)
  for (const [at, { headers, body }] of endpoint.requests.entries()) {
    const text = Object.fromEntries(Object.entries(headers).map(([name, v]) => [name, String(v)]))
    expect(() => new Webhook(installed.toolSecret).verify(body, text)).not.toThrow()
    const { payload } = await jwtVerify(text['x-ai-chat-context'] ?? '', keys, {
      audience: endpoint.url,
      typ: 'patchbay-context+jwt',
    })
    expect(payload).toMatchObject({ org: org.id, sub: rows[at].user_id, tool: 'jira.createIssue' })
    expect(payload.run).toBe(text['idempotency-key'])
  }
})
