import { afterAll, expect, test } from 'vitest'
import { openTestApi } from '../../../test/fixtures/api.ts'
import { makeLog } from '../../telemetry/log.ts'
import { listen } from '../listen.ts'

const api = await openTestApi()
afterAll(() => api[Symbol.asyncDispose]())
const { orgId, token } = await api.addOrgOf('me', 'member')
const path = `/orgs/${orgId}/conversations`

async function start(): Promise<string> {
  const { body } = await api.call('POST', path, { token, json: {} })
  return body.conversation.id
}

async function eventsOf(conversationId: string) {
  const { rows } = await api.database.pool.query(
    `select type, data from patchbay.outbox_events where org_id = $1 and conversation_id = $2 order by id`,
    [orgId, conversationId],
  )
  return rows
}

test('a turn commits both messages, the run and the events together', async () => {
  const id = await start()
  const before = api.wakes()
  const json = { content: 'use clock.now {}' }
  const { status, body } = await api.call('POST', `${path}/${id}/turns`, { token, json })
  expect({ status, body }).toMatchObject({
    status: 200,
    body: {
      userMessage: { conversationId: id, role: 'user', content: json.content, model: null },
      assistantMessage: { conversationId: id, role: 'assistant', model: 'demo' },
      toolRuns: [{ tool: 'clock.now', outcome: 'success', error: null }],
    },
  })
  expect(body.assistantMessage.content).toContain('clock.now returned')
  expect(api.wakes()).toBe(before + 1)
  const { messages } = (await api.call('GET', `${path}/${id}/messages`, { token })).body
  expect(messages).toEqual([body.assistantMessage, body.userMessage])
  const { rows: runs } = await api.database.pool.query(
    'select id, source, user_id from patchbay.tool_runs where conversation_id = $1',
    [id],
  )
  const [run] = body.toolRuns
  expect(runs).toEqual([{ id: run.runId, source: 'chat', user_id: 'me' }])
  expect(await eventsOf(id)).toMatchObject([
    { type: 'tool.exec.success', data: { runId: run.runId } },
    {
      type: 'chat.turn.completed',
      data: {
        userMessageId: body.userMessage.id,
        assistantMessageId: body.assistantMessage.id,
        model: 'demo',
        toolRunIds: [run.runId],
      },
    },
  ])
})

test('a turn whose tool fails is committed all the same, with the error', async () => {
  const id = await start()
  const json = { content: 'use clock.now {"timeZone":"Nowhere/None"}' }
  const { status, body } = await api.call('POST', `${path}/${id}/turns`, { token, json })
  expect({ status, body }).toMatchObject({
    status: 200,
    body: { toolRuns: [{ tool: 'clock.now', outcome: 'error', error: expect.any(String) }] },
  })
  expect(await eventsOf(id)).toMatchObject([
    { type: 'tool.exec.error' },
    { type: 'chat.turn.completed' },
  ])
})

test('a streamed turn shows its progress and ends with what was committed', async () => {
  const id = await start()
  const answer = await api.call('POST', `${path}/${id}/turns`, {
    token,
    json: { content: 'use clock.now {}' },
    headers: { accept: 'text/event-stream' },
  })
  expect(answer.headers.get('content-type')).toContain('text/event-stream')
  const names = [...answer.text.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name)
  expect(names).toContain('tool')
  expect(names).toContain('delta')
  expect(names.at(-1)).toBe('done')
  expect(await eventsOf(id)).toHaveLength(2)
})

test('a streamed turn is kept by no cache, like every other answer', async () => {
  const id = await start()
  await using server = await listen('127.0.0.1', 0, api.fetch, { log: makeLog('silent') })
  const answer = await fetch(`${server.url}${path}/${id}/turns`, {
    method: 'POST',
    body: JSON.stringify({ content: 'hello' }),
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'text/event-stream',
    },
  })
  expect(await answer.text()).toContain('event: done')
  expect(answer.headers.get('content-type')).toContain('text/event-stream')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('x-request-id')).not.toBeNull()
})

test('a streamed turn with an Idempotency-Key is refused', async () => {
  const id = await start()
  const answer = await api.call('POST', `${path}/${id}/turns`, {
    token,
    json: { content: 'hello' },
    headers: { accept: 'text/event-stream', 'idempotency-key': 'k' },
  })
  expect(answer).toMatchObject({ status: 422, body: { error: 'UNPROCESSABLE' } })
})

test('a turn that is repeated with its key is taken once', async () => {
  const id = await start()
  const request = { token, json: { content: 'hello' }, headers: { 'idempotency-key': 'turn-1' } }
  const first = await api.call('POST', `${path}/${id}/turns`, request)
  const again = await api.call('POST', `${path}/${id}/turns`, request)
  expect(again.body).toEqual(first.body)
  expect((await api.call('GET', `${path}/${id}/messages`, { token })).body.messages).toHaveLength(2)
})

test('conversations and messages are paged without gaps or repetition', async () => {
  const made = [await start(), await start(), await start(), await start(), await start()]
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`
    const { body } = await api.call('GET', `${path}?limit=2${query}`, { token })
    seen.push(...body.conversations.map(({ id }: { id: string }) => id))
    cursor = body.nextCursor
  }
  expect(seen.slice(0, 5)).toEqual(made.toReversed())
  expect(new Set(seen).size).toBe(seen.length)
})

test('nothing of all this broke inside', () => {
  expect(api.broken).toEqual([])
})
