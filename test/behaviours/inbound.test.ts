import { afterAll, beforeEach, expect, test } from 'vitest'
import { verifyWebhook } from '../../src/index.ts'
import { openLlm } from '../doubles/llm.ts'
import { until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { done } from './chat.ts'
import { installProgram, openConversation } from './inbound.ts'
import { openStory, type StoryOrg } from './story.ts'

const stack = new AsyncDisposableStack()
const llm = stack.use(await openLlm())
const story = stack.use(await openStory({ env: llm.env }))
afterAll(() => stack.disposeAsync())
beforeEach(() => llm.release())

async function open(providerKey?: string) {
  const org = await story.addOrg()
  const program = await installProgram(story, org, providerKey)
  return { org, program, conversation: await openConversation(org) }
}

const rotate = (org: StoryOrg, path: string, overlapSeconds: number) =>
  done(org.call('POST', `${path}/rotate-inbound-secret`, { overlapSeconds }))

test.each(['generic-webhook', 'internal-http'])(
  'what a program of %s posts is a message of the conversation, by whom it names',
  async (providerKey) => {
    const { program, conversation } = await open(providerKey)
    const externalUser = { id: 'customer-17', name: 'Ann 🎉' }
    const conversationId = conversation.id
    const signed = await program.post({ conversationId, content: 'Where is it?', externalUser })
    expect([signed.status, Object.keys(signed.body)]).toEqual([202, ['messageId']])
    const plain = await program.postPlainly({ conversationId, content: 'And now?' })
    expect(plain.status).toBe(202)
    expect(await conversation.messages()).toMatchObject([
      { id: signed.body.messageId, role: 'user', content: 'Where is it?', externalUser },
      { id: plain.body.messageId, content: 'And now?', externalUser: { id: 'anonymous' } },
    ])
  },
)

test('a webhook-id that is sent again is the message it was, whatever it says, also ten times at once', async () => {
  const { org, program, conversation } = await open()
  const message = { conversationId: conversation.id, content: 'Once' }
  const first = await program.post(message, { id: 'msg-1' })
  const again = await program.post(message, { id: 'msg-1' })
  expect([first.status, again.status, again.body]).toEqual([202, 200, first.body])
  const other = await program.post({ ...message, content: 'Other' }, { id: 'msg-1' })
  expect([other.status, other.body]).toEqual([200, first.body])

  const many = await Promise.all(
    Array.from({ length: 10 }, () => program.post({ ...message, reply: true }, { id: 'msg-2' })),
  )
  const statuses = many.map(({ status }) => status).toSorted()
  expect(statuses).toEqual([...Array.from({ length: 9 }, () => 200), 202])
  expect(new Set(many.map(({ body }) => body.messageId)).size).toBe(1)
  await until('it is answered', async () => (await conversation.messages()).length > 2)
  expect((await conversation.messages()).map(({ content }) => content)).toEqual([
    'Once',
    'Once',
    'Answer to: Once',
  ])
  // Another program's ids are its own.
  const neighbour = await installProgram(story, org)
  expect((await neighbour.post(message, { id: 'msg-1' })).status).toBe(202)
})

test('with `reply` there is one turn, and its answer leaves as a signed event that says who asked', async () => {
  const { org, program, conversation } = await open()
  const receiver = stack.use(await openReceiver())
  const { secret } = await org.subscribe(receiver.url, {
    eventTypes: ['chat.turn.completed'],
    content: 'full',
  })
  const user = { id: 'customer-17', name: 'Ann' }
  const message = {
    conversationId: conversation.id,
    content: 'Where is it?',
    externalUser: user,
    reply: true,
  }
  const { status, body } = await program.post(message, { id: 'msg-1' })
  expect(status).toBe(202)
  await until('the answer has left', () => receiver.requests.length > 0)
  const [request] = receiver.requests
  const sent = JSON.parse(request?.body ?? '')
  expect(sent).toMatchObject({
    type: 'chat.turn.completed',
    conversationId: conversation.id,
    data: {
      userMessageId: body.messageId,
      via: { integrationId: program.id, user },
      content: { user: 'Where is it?', assistant: 'Answer to: Where is it?' },
    },
  })
  verifyWebhook(secret, request?.headers ?? {}, request?.body ?? '')
  expect((await program.post(message, { id: 'msg-1' })).body).toEqual(body)
  // Whatever there were of the first would leave before what comes after it.
  await program.post({ ...message, content: 'And that?' })
  await until('the next has left', () => receiver.requests.length > 1)
  expect(receiver.requests).toHaveLength(2)
  expect(await conversation.messages()).toMatchObject([
    { id: body.messageId, role: 'user', externalUser: user },
    { id: sent.data.assistantMessageId, role: 'assistant', content: 'Answer to: Where is it?' },
    { content: 'And that?' },
    { content: 'Answer to: And that?' },
  ])
  // The model sees each message once.
  expect(llm.asked.at(-1)).toEqual(['Where is it?', 'Answer to: Where is it?', 'And that?'])
})

test('while a secret is rotated both are good, then the new one alone', async () => {
  const { org, program, conversation } = await open()
  const message = { conversationId: conversation.id, content: 'Hi' }
  const first = await rotate(org, program.path, 3600)
  expect(Date.parse(first.previousExpiresAt)).toBeGreaterThan(Date.now() + 3_500_000)
  const statusWith = async (secret: string) => (await program.post(message, { secret })).status
  expect([await statusWith(program.secret), await statusWith(first.secret)]).toEqual([202, 202])
  const second = await rotate(org, program.path, 0)
  expect([
    await statusWith(program.secret),
    await statusWith(first.secret),
    await statusWith(second.secret),
  ]).toEqual([401, 401, 202])
  expect((await program.postPlainly(message, first.secret)).status).toBe(401)
  expect((await program.postPlainly(message, second.secret)).status).toBe(202)
})

test('what is not signed as it should be is refused, and leaves nothing', async () => {
  const { org, program, conversation } = await open()
  const neighbour = await installProgram(story, org)
  const message = { conversationId: conversation.id, content: 'Hi', reply: true }
  const id = 'msg-1'
  const minutes = (count: number) => new Date(Date.now() + count * 60_000)
  const refused = [
    await program.post(message, { id, secret: neighbour.secret }),
    await program.post(message, { id, instead: JSON.stringify(message).replace('Hi', 'Ho') }),
    await program.post(message, { id, at: minutes(-10) }),
    await program.post(message, { id, at: minutes(10) }),
    await program.postPlainly(message, neighbour.secret),
    await story.call('POST', `/inbound/${program.id}`, { json: message }),
    await story.call('POST', `/inbound/${program.id}`, { json: message, token: org.token }),
  ]
  for (const { status, body, headers } of refused) {
    expect([status, body.error]).toEqual([401, 'UNAUTHENTICATED'])
    expect(headers.get('content-type')).toContain('application/problem+json')
  }
  expect(await conversation.messages()).toEqual([])
  const { rows } = await story.pool.query(
    'select from patchbay.inbound_events where integration_id = any ($1)',
    [[program.id, neighbour.id]],
  )
  expect(rows).toEqual([])
  expect((await program.post(message, { id })).status).toBe(202)
})

test('a conversation that is none of the org’s is not found, and the id is free for the right one', async () => {
  const { program, conversation } = await open()
  const theirs = await openConversation(await story.addOrg())
  const id = 'msg-1'
  for (const conversationId of [theirs.id, program.id, 'c-1']) {
    const { status, body } = await program.post({ conversationId, content: 'Hi' }, { id })
    expect([status, body.error]).toEqual([404, 'NOT_FOUND'])
  }
  expect(await theirs.messages()).toEqual([])
  const right = await program.post({ conversationId: conversation.id, content: 'Hi' }, { id })
  expect(right.status).toBe(202)
})

test('a disabled integration takes nothing, and all again when it is enabled', async () => {
  const { org, program, conversation } = await open()
  const message = { conversationId: conversation.id, content: 'Hi' }
  await done(org.call('PATCH', program.path, { isEnabled: false }))
  const { status, body } = await program.post(message, { id: 'msg-1' })
  expect([status, body.error]).toEqual([403, 'FORBIDDEN'])
  expect(await conversation.messages()).toEqual([])
  await done(org.call('PATCH', program.path, { isEnabled: true }))
  expect((await program.post(message, { id: 'msg-1' })).status).toBe(202)
})

test('what nothing is posted to is not found: no integration, one of Slack’s, one that is removed', async () => {
  const { org, program, conversation } = await open()
  const at = `${org.path}/integrations`
  const slack = await done(org.call('POST', at, { providerKey: 'slack', name: 'Slack' }))
  const message = { conversationId: conversation.id, content: 'Hi' }
  const headers = { 'webhook-id': 'msg-1', 'webhook-signature': 'v1,x', 'webhook-timestamp': '1' }
  for (const id of [conversation.id, 'nonsense', slack.integration.id]) {
    const { status, body } = await story.call('POST', `/inbound/${id}`, { json: message, headers })
    expect([id, status, body.error]).toEqual([id, 404, 'NOT_FOUND'])
  }
  const teams = await story.call('POST', `/inbound/teams/${program.id}`, { json: message })
  expect(teams.status).toBe(404)
  await done(org.call('DELETE', program.path))
  expect((await program.post(message)).status).toBe(404)
})

test('a body that is wrong is refused in words, and a right one with its id is taken', async () => {
  const { program, conversation } = await open()
  const message = { conversationId: conversation.id, content: 'Hi' }
  const id = 'msg-1'
  const noJson = await program.post('{"conversationId":', { id })
  expect([noJson.status, noJson.body.details]).toEqual([
    400,
    [{ path: 'body', message: 'is not JSON' }],
  ])
  const unknown = await program.post({ ...message, role: 'system' }, { id })
  expect([unknown.status, unknown.body.details]).toEqual([
    400,
    [{ path: 'body', message: expect.stringContaining('role') }],
  ])
  const empty = await program.post({ ...message, content: '' }, { id })
  expect([empty.status, empty.body.details[0].path]).toEqual([400, 'content'])
  const long = await program.post({ ...message, content: 'x'.repeat(32_001) }, { id })
  expect([long.status, long.body.details[0].path]).toEqual([400, 'content'])
  const type = await program.post(message, { id, type: 'text/plain' })
  expect([type.status, type.body.error]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE'])
  const large = await program.post({ ...message, content: 'x'.repeat(1_048_576) }, { id })
  expect([large.status, large.body.error]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  for (const spoilt of ['a b', 'ü', 'x'.repeat(201)]) {
    const { status, body } = await program.post(message, { id: spoilt })
    expect([status, body.details[0].path]).toEqual([400, 'webhook-id'])
  }
  expect(await conversation.messages()).toEqual([])
  expect((await program.post({ ...message, content: '🎉'.repeat(16_000) }, { id })).status).toBe(
    202,
  )
})

test('the inbound secret is shown once, and stands nowhere as it is', async () => {
  const { org, program } = await open()
  expect(program.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  const rotated = await rotate(org, program.path, 3600)
  const paths = [program.path, `${org.path}/integrations`, `${org.path}/audit`]
  const shown = await Promise.all(paths.map(async (path) => (await org.call('GET', path)).text))
  const patched = await org.call('PATCH', program.path, { name: 'Other' })
  const { rows } = await story.pool.query<{ row: string }>(
    `select i::text as row from patchbay.org_integrations as i where org_id = $1
     union all select a::text from patchbay.audit_log as a where org_id = $1`,
    [org.id],
  )
  const texts = [...shown, patched.text, ...rows.map(({ row }) => row)]
  expect(texts.join()).toContain('integration.inbound_secret_rotated')
  for (const secret of [program.secret, rotated.secret]) {
    const bare = secret.slice('whsec_'.length)
    const hex = Buffer.from(secret).toString('hex')
    expect(texts.filter((text) => text.includes(bare) || text.includes(hex))).toEqual([])
  }
})

test('a question that the model cannot answer is asked again, and answered once', async () => {
  const { org, program, conversation } = await open()
  const receiver = stack.use(await openReceiver())
  await org.subscribe(receiver.url, { eventTypes: ['chat.turn.completed'] })
  llm.failNext(2)
  await program.post({ conversationId: conversation.id, content: 'Well?', reply: true })
  await until('the answer has left', () => receiver.requests.length > 0)
  expect((await conversation.messages()).map(({ content }) => content)).toEqual([
    'Well?',
    'Answer to: Well?',
  ])
  const { rows } = await story.pool.query(
    `select state, tries, payload, last_error from patchbay.inbound_events where integration_id = $1`,
    [program.id],
  )
  expect(rows).toEqual([{ state: 'done', tries: 2, payload: null, last_error: null }])
})
