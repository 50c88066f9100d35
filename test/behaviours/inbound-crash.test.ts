import { afterAll, expect, test } from 'vitest'
import { openLlm } from '../doubles/llm.ts'
import { until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { installProgram, openConversation } from './inbound.ts'
import { openStory } from './story.ts'
import { askForSweep, startWorker } from './worker.ts'

const stack = new AsyncDisposableStack()
const llm = stack.use(await openLlm())
const story = stack.use(await openStory({ isWorker: false, env: llm.env }))
afterAll(() => stack.disposeAsync())

test('a question whose worker is killed while the model thinks is answered once, by another one', async () => {
  const org = await story.addOrg()
  const program = await installProgram(story, org)
  const conversation = await openConversation(org)
  const receiver = stack.use(await openReceiver())
  await org.subscribe(receiver.url, { eventTypes: ['chat.turn.completed'], content: 'full' })
  await using first = await startWorker(story)
  llm.hold()
  const message = { conversationId: conversation.id, content: 'Well?', reply: true }
  expect((await program.post(message, { id: 'msg-1' })).status).toBe(202)
  await until('the model thinks', () => llm.asked.length === 1)
  first.kill('SIGKILL')
  await first.exited

  await using second = await startWorker(story)
  // While the lease lasts the question is the first one's, who may only be slow: this moves time.
  const { rowCount } = await story.pool.query(
    `update patchbay.inbound_events set due_at = now() - interval '21 seconds'
     where integration_id = $1 and state = 'waiting' and lease_token is not null and due_at > now()`,
    [program.id],
  )
  expect(rowCount).toBe(1)
  await askForSweep(story)
  await until('the model thinks again', () => llm.asked.length === 2)
  llm.release()
  await until('the answer has left', () => receiver.requests.length > 0)
  // Whatever there were of it would leave before the answer to what comes after.
  await program.post({ ...message, content: 'And?' })
  await until('the next has left', () => receiver.requests.length > 1)
  expect(receiver.requests).toHaveLength(2)
  expect((await conversation.messages()).map(({ content }) => content)).toEqual([
    'Well?',
    'Answer to: Well?',
    'And?',
    'Answer to: And?',
  ])
  expect(llm.asked).toHaveLength(3)
  expect(second.output()).toContain('question.answered')
})

test('a question that was cut off every time is given up', async () => {
  const org = await story.addOrg()
  const program = await installProgram(story, org)
  const conversation = await openConversation(org)
  await using _worker = await startWorker(story)
  llm.hold()
  const asked = llm.asked.length
  await program.post({ conversationId: conversation.id, content: 'Heavy?', reply: true })
  await until('the model thinks', () => llm.asked.length > asked)
  // As if each worker that took it had been killed.
  await story.pool.query(
    `update patchbay.inbound_events set tries = 5, due_at = now() - interval '21 seconds'
     where integration_id = $1`,
    [program.id],
  )
  await askForSweep(story)
  const stateOf = async () => {
    const { rows } = await story.pool.query(
      'select state, last_error, payload from patchbay.inbound_events where integration_id = $1',
      [program.id],
    )
    return rows[0]
  }
  await until('it has ended', async () => (await stateOf()).state !== 'waiting')
  expect(await stateOf()).toEqual({
    state: 'failed',
    last_error: 'every try of it was cut off',
    payload: null,
  })
  llm.release()
})
