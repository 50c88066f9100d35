import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openStory, type Story, type StoryOrg } from '../behaviours/story.ts'
import { until } from '../fixtures/process.ts'
import { openReceiver, type Receiver } from '../fixtures/receiver.ts'
import { awaitApproved } from './examples/approval.ts'
import { type Patchbay, runTool } from './examples/patchbay.ts'
import { HOSTS } from './hosts.ts'

let story: Story
let org: StoryOrg
let office: Receiver
let patchbay: Patchbay

beforeAll(async () => {
  story = await openStory()
  org = await story.addOrg()
  office = await openReceiver((response) => {
    response.setHeader('content-type', 'application/json')
    response.end('{"key":"OFF-1"}')
  })
  const tools = `${org.path}/integrations/${org.integrationId}/tools`
  const tool = {
    name: 'door.open',
    description: 'Opens a door.',
    argsSchema: { type: 'object', properties: { door: { type: 'string' } } },
    httpConfig: { method: 'POST', url: office.url },
    approval: 'ask',
  }
  expect(await org.call('POST', tools, tool)).toMatchObject({ status: 201 })
  const made = await org.call('POST', `${org.path}/api-keys`, {
    name: 'My chat',
    permissions: ['org:tools:use'],
  })
  patchbay = { url: story.url, orgId: org.id, token: made.body.key }
})
afterAll(async () => {
  await office[Symbol.asyncDispose]()
  await story[Symbol.asyncDispose]()
})
beforeEach(() => {
  office.requests.length = 0
})

/** What an admin does about the one call that waits. */
async function decide(decision: 'approve' | 'deny') {
  const pending = `${org.path}/approvals?state=pending`
  await until('a call waits', async () => {
    const { body } = await org.call('GET', pending)
    return body.approvals.length === 1
  })
  const { body } = await org.call('GET', pending)
  const path = `${org.path}/approvals/${body.approvals[0].id}`
  expect(await org.call('POST', path, { decision })).toMatchObject({ status: 200 })
}

test.each(Object.entries(HOSTS))(
  'a chat product on %s tells its user that a call waits, and nothing is sent',
  async (name, openHost) => {
    await using host = await openHost(({ results }) =>
      results.length === 0
        ? { calls: [{ name: 'door_open', args: { door: name } }] }
        : { text: results.at(-1)?.text ?? '' },
    )
    const said = await host.ask(patchbay, 'Open the door.')
    expect(said).toContain('a person has to approve it')
    expect(host.refused).toEqual([])
    expect(office.requests).toEqual([])
    await decide('deny')
  },
)

describe('a call that waits', () => {
  const callOf = (id: string) => ({
    id,
    name: 'door_open',
    args: { door: id },
    conversationId: 'conv-42',
  })

  test('runs once when it is approved, and whoever asks again gets its result', async () => {
    const call = callOf('call_approved')
    expect(await runTool(patchbay, call)).toMatchObject({
      isError: false,
      approval: { tool: 'door.open', state: 'pending', arguments: { door: call.id } },
    })
    const waiting = awaitApproved(patchbay, call, 50)
    await decide('approve')
    expect(await waiting).toEqual({ isError: false, text: '{"key":"OFF-1"}' })
    expect(office.requests).toHaveLength(1)
  })

  test('that is denied is told to the model', async () => {
    const call = callOf('call_denied')
    await runTool(patchbay, call)
    const waiting = awaitApproved(patchbay, call, 50)
    await decide('deny')
    expect(await waiting).toMatchObject({
      isError: true,
      text: expect.stringContaining('denied this call'),
    })
    expect(office.requests).toEqual([])
  })

  test('is given up when nobody decides in time', async () => {
    const call = callOf('call_late')
    const { approval } = await runTool(patchbay, call)
    const leftMs = Date.parse(approval?.expiresAt ?? '') - Date.now()
    expect(await awaitApproved(patchbay, call, leftMs + 1000)).toBeNull()
    await decide('deny')
  })
})
