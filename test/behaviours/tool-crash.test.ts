import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { openMcpClient } from '../fixtures/mcp-client.ts'
import { startPatchbay, until } from '../fixtures/process.ts'
import { type Answer, openReceiver } from '../fixtures/receiver.ts'
import { openStory, type StoryOrg } from './story.ts'
import { askForSweep, startWorker } from './worker.ts'

const stack = new AsyncDisposableStack()
const story = stack.use(await openStory({ isWorker: false }))
/** Of the tool's endpoint; hangs until it is told otherwise. */
let answer: Answer
const endpoint = stack.use(await openReceiver((response, request) => answer(response, request)))
const heard = stack.use(await openReceiver())
afterAll(() => stack.disposeAsync())
beforeEach(() => {
  answer = () => undefined
  endpoint.requests.length = 0
  heard.requests.length = 0
})

/** What the dead process had to itself is another's now: this moves time. */
async function letLeasesEnd(org: StoryOrg): Promise<void> {
  await story.pool.query(
    `update patchbay.tool_approvals set lease_until = now() - interval '21 seconds' where org_id = $1`,
    [org.id],
  )
}

async function openOrg(approval: 'auto' | 'ask'): Promise<StoryOrg> {
  const org = await story.addOrg()
  await org.subscribe(heard.url, { eventTypes: ['tool.exec.*', 'chat.*'], content: 'full' })
  const defined = await org.call('POST', `${org.path}/integrations/${org.integrationId}/tools`, {
    name: 'door.open',
    description: 'Opens a door.',
    argsSchema: { type: 'object' },
    httpConfig: { method: 'POST', url: endpoint.url, timeoutMs: 30_000 },
    approval,
  })
  expect(defined.status).toBe(201)
  return org
}

/** A turn that asks for the door; the id of its approval. */
async function askForDoor(org: StoryOrg) {
  const { body } = await org.call('POST', `${org.path}/conversations`, {})
  const path = `${org.path}/conversations/${body.conversation.id}`
  const turn = await org.call('POST', `${path}/turns`, { content: 'use door.open {}' })
  const messages = async (): Promise<string[]> => {
    const list = await org.call('GET', `${path}/messages`)
    return list.body.messages.map(({ content }: { content: string }) => content)
  }
  return { approvalId: String(turn.body.approvals[0].approvalId), messages }
}

/** An API process of its own. */
async function startApi() {
  const port = 20_000 + (process.pid % 20_000)
  const api = startPatchbay('api', { ...story.env, PORT: String(port), LOG_LEVEL: 'info' })
  await until('the API is up', () => api.output().includes('service.started'))
  return { ...api, url: `http://127.0.0.1:${port}` }
}

const runsOf = async (org: StoryOrg) =>
  (await org.call('GET', `${org.path}/tool-runs`)).body.toolRuns

test('a worker that is killed while an approved call is out leaves a run that is unknown, and it is not called again', async () => {
  const org = await openOrg('ask')
  const { approvalId, messages } = await askForDoor(org)
  await using first = await startWorker(story)
  await org.call('POST', `${org.path}/approvals/${approvalId}`, { decision: 'approve' })
  await until('the call is out', () => endpoint.requests.length === 1)
  expect(await runsOf(org)).toMatchObject([{ outcome: 'running', approvalId }])
  first.kill('SIGKILL')
  await first.exited

  await using _second = await startWorker(story)
  await story.pool.query(
    `update patchbay.tool_runs set due_at = now() where org_id = $1 and outcome = 'running'`,
    [org.id],
  )
  await letLeasesEnd(org)
  await askForSweep(story)
  await until('the turn has gone on', async () => (await messages()).length === 3)
  expect((await messages())[0]).toMatch(/was approved by .*unknown: the process ended/s)
  expect(await runsOf(org)).toMatchObject([{ outcome: 'unknown' }])
  expect(endpoint.requests).toHaveLength(1)
  await until('it is told', () =>
    heard.requests.some(({ body }) => body.includes('tool.exec.error')),
  )
})

test('a worker that is killed while the turn goes on leaves the run as it was, and one answer', async () => {
  const org = await openOrg('ask')
  answer = (response) => response.end('{"door":"open"}')
  const { approvalId, messages } = await askForDoor(org)
  // As if it had been killed right after the run had ended.
  await using worker = await startWorker(story)
  await org.call('POST', `${org.path}/approvals/${approvalId}`, { decision: 'approve' })
  await until('the turn has gone on', async () => (await messages()).length === 3)
  await story.pool.query(`update patchbay.tool_approvals set is_done = false where org_id = $1`, [
    org.id,
  ])
  await letLeasesEnd(org)
  await askForSweep(story)
  await until('it was looked at again', async () => {
    const { rows } = await story.pool.query(
      'select is_done, tries from patchbay.tool_approvals where org_id = $1',
      [org.id],
    )
    return rows[0].is_done && rows[0].tries === 2
  })
  expect(endpoint.requests).toHaveLength(1)
  expect(await messages()).toHaveLength(3)
  expect(await runsOf(org)).toMatchObject([{ outcome: 'success' }])
  expect(worker.output()).toContain('approval.carried_out')
})

test('an API that is killed while a call is out leaves a run that is unknown', async () => {
  const org = await openOrg('auto')
  await using api = await startApi()
  const call = fetch(`${api.url}${org.path}/tools/door.open/execute`, {
    method: 'POST',
    headers: { authorization: `Bearer ${org.token}`, 'content-type': 'application/json' },
    body: '{}',
  })
  const failed = call.then(
    () => 'answered',
    () => 'cut off',
  )
  await until('the call is out', () => endpoint.requests.length === 1)
  api.kill('SIGKILL')
  expect(await failed).toBe('cut off')
  expect(await runsOf(org)).toMatchObject([{ outcome: 'running', source: 'api' }])
  await using _worker = await startWorker(story)
  await story.pool.query(
    `update patchbay.tool_runs set due_at = now() where org_id = $1 and outcome = 'running'`,
    [org.id],
  )
  await askForSweep(story)
  await until('it is unknown', async () => (await runsOf(org))[0].outcome === 'unknown')
})

test('a worker that is stopped while an approved call is out stays until its answer is written down', async () => {
  const org = await openOrg('ask')
  let release = () => {}
  answer = (response) => {
    release = () => void response.end('{"door":"open"}')
  }
  const { approvalId, messages } = await askForDoor(org)
  await using first = await startWorker(story)
  await org.call('POST', `${org.path}/approvals/${approvalId}`, { decision: 'approve' })
  await until('the call is out', () => endpoint.requests.length === 1)
  first.kill('SIGTERM')
  // Longer than a worker waits for anything else.
  await sleep(7000)
  release()
  await first.exited
  expect(await runsOf(org)).toMatchObject([{ outcome: 'success', approvalId }])

  await using _second = await startWorker(story)
  await letLeasesEnd(org)
  await askForSweep(story)
  await until('the turn has gone on', async () => (await messages()).length === 3)
  expect(endpoint.requests).toHaveLength(1)
})

test('an API that is stopped while a call is out that was approved over MCP stays until its answer is written down', async () => {
  const org = await openOrg('ask')
  let release = () => {}
  answer = (response) => {
    release = () => void response.end('{"door":"open"}')
  }
  await using api = await startApi()
  await using client = await openMcpClient(`${api.url}${org.path}/mcp`, {
    era: '2026-07-28',
    token: org.token,
    onQuestion: () => ({ action: 'accept', content: { approve: true } }),
  })
  const call = client.callTool({ name: 'door_open', arguments: {} }).catch(() => 'cut off')
  await until('the call is out', () => endpoint.requests.length === 1)
  api.kill('SIGTERM')
  // Longer than an API waits for its callers.
  await sleep(7000)
  release()
  await api.exited
  await call
  expect(await runsOf(org)).toMatchObject([{ outcome: 'success', source: 'mcp' }])
})
