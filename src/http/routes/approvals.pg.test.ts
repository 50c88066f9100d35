import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { addMember, openTestApi } from '../../../test/fixtures/api.ts'
import { openReceiver } from '../../../test/fixtures/receiver.ts'

const api = await openTestApi()
let status = 200
const endpoint = await openReceiver((response) => {
  response.writeHead(status).end(JSON.stringify({ issue: 'P-1' }))
})
afterAll(async () => {
  await endpoint[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})

let orgId: string
let token: string
let member: string
let tools: string
let toolId: string

beforeEach(async () => {
  status = 200
  endpoint.requests.length = 0
  ;({ orgId, token } = await api.addOrgOf('bea'))
  await addMember(api.database, orgId, 'ann', 'member')
  member = await api.token('ann')
  const json = { providerKey: 'generic-webhook', name: 'Jira' }
  const made = await api.call('POST', `/orgs/${orgId}/integrations`, { token, json })
  tools = `/orgs/${orgId}/integrations/${made.body.integration.id}/tools`
  const tool = {
    name: 'jira.createIssue',
    description: 'Makes an issue',
    argsSchema: {
      type: 'object',
      properties: { title: { type: 'string' }, pin: { type: 'string', 'x-secret': true } },
      required: ['title'],
    },
    httpConfig: { method: 'POST', url: `${endpoint.url}/issues`, body: 'args' },
    approval: 'ask',
  }
  const defined = await api.call('POST', tools, { token, json: tool })
  expect(defined).toMatchObject({ status: 201, body: { tool: { approval: 'ask' } } })
  toolId = defined.body.tool.id
})

const ask = (args: object = { title: 'x' }, by = member) =>
  api.call('POST', `/orgs/${orgId}/tools/jira.createIssue/execute`, { token: by, json: { args } })
const decide = (id: string, decision: string, by = token) =>
  api.call('POST', `/orgs/${orgId}/approvals/${id}`, { token: by, json: { decision } })
const read = (id: string, by = token) =>
  api.call('GET', `/orgs/${orgId}/approvals/${id}`, { token: by })

async function ended(id: string) {
  for (let look = 0; look < 200; look += 1) {
    const { body } = await read(id)
    if (body.approval.outcome !== null && body.approval.outcome !== 'running') return body.approval
    // Until the work that the decision began has come to its end.
    await sleep(20)
  }
  throw new Error('it did not run')
}

async function rows(text: string) {
  return (await api.database.pool.query(text, [orgId])).rows
}
const runs = () => rows('select * from patchbay.tool_runs where org_id = $1 order by id')
const events = () =>
  rows('select type, data from patchbay.outbox_events where org_id = $1 order by id')

describe('a tool that asks', () => {
  test('waits, is approved by somebody who may, and runs once with what was asked for', async () => {
    const asked = await ask({ title: 'Printer', pin: '4711' })
    expect(asked).toMatchObject({
      status: 202,
      body: {
        approval: {
          tool: 'jira.createIssue',
          state: 'pending',
          arguments: { title: 'Printer', pin: '[secret]' },
        },
      },
    })
    const { id } = asked.body.approval
    expect(endpoint.requests).toEqual([])
    expect(await runs()).toEqual([])
    const list = await api.call('GET', `/orgs/${orgId}/approvals?state=pending`, { token })
    expect(list.body.approvals).toMatchObject([
      { id, userId: 'ann', source: 'api', state: 'pending', runId: null, outcome: null },
    ])

    const decided = await decide(id, 'approve')
    expect(decided).toMatchObject({
      status: 200,
      body: { approval: { state: 'approved', decidedBy: 'bea', runId: expect.any(String) } },
    })
    const approval = await ended(id)
    expect(approval).toMatchObject({ outcome: 'success', runId: decided.body.approval.runId })
    expect(endpoint.requests.map(({ body }) => body)).toEqual(['{"title":"Printer","pin":"4711"}'])
    expect(await runs()).toMatchObject([
      {
        id: approval.runId,
        approval_id: id,
        user_id: 'ann',
        source: 'api',
        outcome: 'success',
        arguments: { title: 'Printer', pin: '[secret]' },
      },
    ])
    expect(await events()).toMatchObject([
      { type: 'tool.approval.requested', data: { approvalId: id, userId: 'ann' } },
      {
        type: 'tool.approval.decided',
        data: { approvalId: id, state: 'approved', decidedBy: 'bea' },
      },
      { type: 'tool.exec.success', data: { runId: approval.runId } },
    ])
    const audit = await api.call('GET', `/orgs/${orgId}/audit`, { token })
    const actions = audit.body.entries.map((entry: { action: string }) => entry.action)
    expect(actions).toEqual(
      expect.arrayContaining(['tool.approval.requested', 'tool.approval.approved']),
    )
  })

  test('asked again while it waits, is the same call; when it ran, its caller gets the result once', async () => {
    const first = await ask({ title: 'x', pin: '1234' })
    const again = await ask({ pin: '1234', title: 'x' })
    expect(again.body.approval.id).toBe(first.body.approval.id)
    await decide(first.body.approval.id, 'approve')
    const { runId } = await ended(first.body.approval.id)
    expect(await ask({ title: 'x', pin: '1234' })).toMatchObject({
      status: 200,
      body: { runId, result: { issue: 'P-1' } },
    })
    expect(await ask({ title: 'x', pin: '1234' })).toMatchObject({
      status: 202,
      body: { approval: { state: 'pending' } },
    })
    expect(endpoint.requests).toHaveLength(1)
  })

  test('asked again at the moment it is decided is the same call, never another', async () => {
    for (let round = 0; round < 25; round += 1) {
      const { body } = await ask({ title: `round ${round}` })
      const [, again] = await Promise.all([
        decide(body.approval.id, 'deny'),
        ask({ title: `round ${round}` }),
      ])
      if (again.status === 202) expect(again.body.approval.id).toBe(body.approval.id)
      else expect(again.status).toBe(403)
    }
  })

  test('shows whoever decides all that would be sent, however long it is; a list shows the beginning', async () => {
    const args = { title: `${'long '.repeat(20_000)}and at the end, what matters` }
    const { body } = await ask(args)
    expect((await read(body.approval.id)).body.approval.arguments).toEqual(args)
    const list = await api.call('GET', `/orgs/${orgId}/approvals`, { token })
    expect(list.body.approvals[0].arguments).toEqual({
      cut: expect.stringMatching(/^\{"title":"long .{2000,2100}… \[cut: 100040 bytes in all\]$/),
    })
    const [{ data }] = await events()
    expect(data.arguments.cut).toMatch(/bytes in all\]$/)
    await decide(body.approval.id, 'approve')
    await ended(body.approval.id)
    expect(JSON.parse(endpoint.requests[0]?.body ?? '')).toEqual(args)
  })

  test('denied is not run, and its caller is told who denied it, once', async () => {
    const { body } = await ask()
    expect(await decide(body.approval.id, 'deny')).toMatchObject({
      status: 200,
      body: { approval: { state: 'denied', runId: null } },
    })
    expect(await ask()).toMatchObject({
      status: 403,
      body: { error: 'FORBIDDEN', detail: 'jira.createIssue: bea denied this call.' },
    })
    expect(await ask()).toMatchObject({ status: 202 })
    expect(endpoint.requests).toEqual([])
    expect(await runs()).toEqual([])
  })

  test('whose endpoint fails has a run that says so', async () => {
    status = 500
    const { body } = await ask()
    await decide(body.approval.id, 'approve')
    expect(await ended(body.approval.id)).toMatchObject({ outcome: 'error' })
    expect(await ask()).toMatchObject({ status: 502, body: { error: 'TOOL_FAILED' } })
  })
})

describe('a decision', () => {
  test('is made once: of ten at the same time one counts, and the tool runs once', async () => {
    const { body } = await ask()
    const { id } = body.approval
    const decisions = await Promise.all(
      Array.from({ length: 10 }, (_, i) => decide(id, i % 2 === 0 ? 'approve' : 'deny')),
    )
    const made = decisions.filter((answer) => answer.status === 200)
    expect(made).toHaveLength(1)
    expect(decisions.filter(({ status: code }) => code === 409)).toHaveLength(9)
    const late = await decide(id, 'approve')
    expect(late).toMatchObject({
      status: 409,
      body: { detail: expect.stringMatching(/^bea has (approved|denied) this call already, at /) },
    })
    if (made[0]?.body.approval.state === 'approved') await ended(id)
    const { state } = made[0]?.body.approval ?? {}
    expect(endpoint.requests).toHaveLength(state === 'approved' ? 1 : 0)
  })

  test('comes too late when the time is over', async () => {
    const { body } = await ask()
    await api.database.pool.query(
      `update patchbay.tool_approvals set expires_at = now() where org_id = $1`,
      [orgId],
    )
    expect(await decide(body.approval.id, 'approve')).toMatchObject({
      status: 409,
      body: {
        detail: expect.stringMatching(/^Too late: this call of jira.createIssue waited until/),
      },
    })
    const fresh = await ask()
    expect(fresh).toMatchObject({ status: 202 })
    expect(fresh.body.approval.id).not.toBe(body.approval.id)
    expect((await read(body.approval.id)).body.approval.state).toBe('expired')
  })

  test('is for who may manage tools, and of one’s own org', async () => {
    const { body } = await ask()
    const { id } = body.approval
    expect(await decide(id, 'approve', member)).toMatchObject({ status: 403 })
    const other = await api.addOrgOf('eve')
    const foreign = `/orgs/${other.orgId}/approvals/${id}`
    const json = { decision: 'approve' }
    expect(await api.call('POST', foreign, { token: other.token, json })).toMatchObject({
      status: 404,
    })
    expect(await api.call('GET', foreign, { token: other.token })).toMatchObject({ status: 404 })
    expect(await decide(id, 'maybe')).toMatchObject({ status: 400 })
    expect((await read(id)).body.approval.state).toBe('pending')
  })

  test('is seen by who asked; others’ calls are not found by who may only use tools', async () => {
    const own = await ask()
    const others = await ask({ title: 'y' }, token)
    expect(await read(own.body.approval.id, member)).toMatchObject({ status: 200 })
    expect(await read(others.body.approval.id, member)).toMatchObject({ status: 404 })
  })
})

describe('what was approved is what runs', () => {
  test.each([
    [
      'changed',
      { httpConfig: { method: 'POST', url: 'http://127.0.0.1:1/other' } },
      /was changed after/,
    ],
    ['disabled', { isEnabled: false }, /was deleted or disabled/],
  ])('a tool that was %s meanwhile is not called', async (_, change, error) => {
    const { body } = await ask()
    await api.call('PATCH', `${tools}/${toolId}`, { token, json: change })
    await decide(body.approval.id, 'approve')
    expect(await ended(body.approval.id)).toMatchObject({ outcome: 'error' })
    expect(await runs()).toMatchObject([{ outcome: 'error', error: expect.stringMatching(error) }])
    expect(endpoint.requests).toEqual([])
  })

  test('what is kept of it at the end is no call any more', async () => {
    const { body } = await ask({ title: 'x', pin: 'very-secret-pin' })
    await decide(body.approval.id, 'approve')
    await ended(body.approval.id)
    await sleep(100)
    expect(
      await rows('select is_done, call, turn from patchbay.tool_approvals where org_id = $1'),
    ).toEqual([{ is_done: true, call: null, turn: null }])
  })
})

describe('a turn of the chat', () => {
  async function say(content: string) {
    const { body } = await api.call('POST', `/orgs/${orgId}/conversations`, {
      token: member,
      json: {},
    })
    const path = `/orgs/${orgId}/conversations/${body.conversation.id}`
    const turn = await api.call('POST', `${path}/turns`, { token: member, json: { content } })
    return { path, turn }
  }

  async function messages(path: string, count: number): Promise<string[]> {
    for (let look = 0; look < 200; look += 1) {
      const { body } = await api.call('GET', `${path}/messages`, { token: member })
      if (body.messages.length >= count) {
        return body.messages.map((message: { content: string }) => message.content)
      }
      await sleep(20)
    }
    throw new Error('the turn did not go on')
  }

  test('says that it waits, and goes on when it is approved', async () => {
    const { path, turn } = await say('use jira.createIssue {"title":"Printer"}')
    expect(turn).toMatchObject({
      status: 200,
      body: { toolRuns: [], approvals: [{ tool: 'jira.createIssue' }] },
    })
    expect(turn.body.assistantMessage.content).toContain('waits until a person approves it')
    await decide(turn.body.approvals[0].approvalId, 'approve')
    const [last] = await messages(path, 3)
    expect(last).toMatch(/was approved by bea\. It ran and gave this result:\s+\{"issue":"P-1"\}/)
    expect(endpoint.requests).toHaveLength(1)
    expect((await events()).map(({ type }) => type)).toEqual([
      'tool.approval.requested',
      'chat.turn.completed',
      'tool.approval.decided',
      'tool.exec.success',
      'chat.turn.completed',
    ])
    const [first, decided, second] = (await events()).flatMap(({ type, data }) =>
      type === 'tool.approval.requested' || type === 'tool.exec.success' ? [] : [data],
    )
    expect(first.toolRunIds).toEqual([])
    expect(second.toolRunIds).toEqual([decided.runId])
  })

  test('goes on when it is denied, and when nobody decides in time', async () => {
    const denied = await say('use jira.createIssue {"title":"a"}')
    await decide(denied.turn.body.approvals[0].approvalId, 'deny')
    expect((await messages(denied.path, 3))[0]).toContain('was denied by bea')
    const late = await say('use jira.createIssue {"title":"b"}')
    await api.database.pool.query(
      `update patchbay.tool_approvals set expires_at = now() where org_id = $1 and state = 'pending'`,
      [orgId],
    )
    await api.sweepApprovals()
    expect((await messages(late.path, 3))[0]).toContain('Nobody approved')
    expect(endpoint.requests).toEqual([])
  })
})
