import { randomUUID } from 'node:crypto'
import { afterAll, expect, test } from 'vitest'
import { openLlm } from '../doubles/llm.ts'
import { openTeams } from '../doubles/teams.ts'
import { until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { done } from './chat.ts'
import { openStory, type StoryOrg } from './story.ts'
import { hasCards, installTeams } from './teams.ts'

const MAX_CARD_BYTES = 24_576

const stack = new AsyncDisposableStack()
const teams = stack.use(await openTeams())
const llm = stack.use(await openLlm())
const story = stack.use(await openStory({ env: { ...llm.env, TEAMS_WORKFLOW_HOSTS: '127.0.0.1' } }))
afterAll(() => stack.disposeAsync())

const install = (org: StoryOrg) => installTeams(story, teams, org)

const isDisabled = (org: StoryOrg, path: string) =>
  until('it is disabled', async () => !(await done(org.call('GET', path))).webhook.isActive)

const turnOf = (user: string, assistant: string) => ({
  assistantMessageId: randomUUID(),
  userMessageId: randomUUID(),
  model: 'double',
  toolRunIds: [],
  content: { user, assistant },
})

test('a turn in the chat is a card in the channel', async () => {
  const org = await story.addOrg()
  const flow = teams.createFlow()
  await (await install(org)).connect(flow)
  llm.answer = () => 'Yes: **all** of it. <at>everyone</at> [here](https://evil.example)'
  const at = `${org.path}/conversations`
  const { conversation } = await done(org.call('POST', at, {}))
  await done(org.call('POST', `${at}/${conversation.id}/turns`, { content: 'Is it done?' }))
  await hasCards(flow, 1)
  const [card] = flow.cards
  expect(card?.text.split('\n')).toEqual([
    'The assistant answered',
    `Conversation ${conversation.id}`,
    '“Is it done?”',
    'Yes: all of it. <at>everyone</at> here',
  ])
  expect(card).toMatchObject({ version: '1.4', mentions: [], oddities: [] })
  expect(flow.answers).toEqual([202])
})

test('the URL of a workflow is called as it was pasted and shown to nobody', async () => {
  const org = await story.addOrg()
  const app = await install(org)
  const flow = teams.createFlow()
  const [, signature = ''] = /sig=(.+)$/.exec(flow.url) ?? []
  const json = { url: flow.url, eventTypes: ['story.told'], retrySchedule: [] }
  const created = await org.call('POST', `${app.path}/webhooks`, json)
  const { id, url } = created.body.webhook
  expect(url).toBe(`${teams.url}/…`)
  teams.failNext({ status: 418, body: `you called ${flow.url}` })
  const failed = await org.ended(await org.emit())
  const accepted = await org.ended(await org.emit())
  expect([failed.status, accepted.status]).toEqual(['failed', 'delivered'])
  // The double compares the query byte for byte.
  expect(flow.answers).toEqual([202])

  const path = `${app.path}/webhooks/${id}`
  await done(org.call('PATCH', path, { url, description: 'the same' }))
  const again = teams.createFlow()
  await done(org.call('PATCH', path, { url: again.url }))
  await org.ended(await org.emit())
  expect([flow.answers, again.answers]).toEqual([[202], [202]])

  const [, newSignature = ''] = /sig=(.+)$/.exec(again.url) ?? []
  const shown = [created.text]
  for (const at of [
    path,
    `${app.path}/webhooks`,
    app.path,
    `${path}/stats`,
    `${org.path}/deliveries`,
    `${org.path}/deliveries/${failed.id}`,
    `${org.path}/deliveries/${accepted.id}`,
    `${org.path}/events`,
    `${org.path}/audit`,
  ]) {
    const answer = await org.call('GET', at)
    expect([at, answer.status]).toEqual([at, 200])
    shown.push(answer.text)
  }
  expect(shown.join()).toContain('webhook.updated')
  expect((await org.attempts(failed.id))[0]?.responseSnippet).toContain('you called')
  for (const secret of [signature, flow.id, newSignature, again.id]) {
    expect(shown.filter((text) => text.includes(secret))).toEqual([])
  }
  const { rows } = await story.pool.query<{ row: string }>(
    `select s::text as row from patchbay.webhook_subscriptions as s where id = $1
     union all select l::text from patchbay.webhook_delivery_log as l where l.subscription_id = $1`,
    [id],
  )
  expect(rows.length).toBe(4)
  expect(rows.filter(({ row }) => row.includes(signature) || row.includes(newSignature))).toEqual(
    [],
  )
})

test.each([
  ['letters', 'lorem ipsum '.repeat(8334).slice(0, 100_000), 100_000],
  ['lines', 'a line\n\n'.repeat(12_500), 100_000],
  ['emoji', '🎉'.repeat(60_000), 60_000],
  ['families', '👨‍👩‍👧‍👦'.repeat(9000), 63_000],
  ['what is long in JSON', '"\\<'.repeat(33_000), 99_000],
  ['fences', '```\n*x*\n```\n'.repeat(8000), 96_000],
])(
  'the longest answer of %s stays within a card, which says what is missing',
  async (_, text, length) => {
    const org = await story.addOrg()
    const flow = teams.createFlow()
    await (await install(org)).connect(flow)
    await org.emit('chat.turn.completed', turnOf('How long is it?', text))
    await hasCards(flow, 1)
    const [card] = flow.cards
    expect(flow.answers).toEqual([202])
    expect(card?.bytes).toBeGreaterThan(MAX_CARD_BYTES * 0.9)
    expect(card?.bytes).toBeLessThanOrEqual(MAX_CARD_BYTES)
    expect(card?.text).toMatch(new RegExp(`\\(cut: ${length} characters in all\\)$`))
    expect(card?.text).not.toContain('\ufffd')
    expect(card?.oddities).toEqual([])
  },
)

test.each([
  ['https://acme.webhook.office.com/webhookb2/a@b/IncomingWebhook/c/d', 'Workflows'],
  ['https://outlook.office.com/webhook/a@b/IncomingWebhook/c/d', 'Workflows'],
  ['https://example.com/workflows/a/triggers/manual/paths/invoke?sig=x', 'workflow'],
])('%s is refused, with what to do instead', async (url, instead) => {
  const org = await story.addOrg()
  const app = await install(org)
  const json = { url, eventTypes: ['*'] }
  const { status, body } = await org.call('POST', `${app.path}/webhooks`, json)
  expect([status, body.error]).toEqual([400, 'INVALID_BODY'])
  expect(body.details).toEqual([{ path: 'url', message: expect.stringContaining(instead) }])
})

test('twenty events at once are posted four a second, and none is refused', async () => {
  const org = await story.addOrg()
  const flow = teams.createFlow()
  await (await install(org)).connect(flow)
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: 20 }, (_, n) => org.emit('story.told', { n })))
  await hasCards(flow, 20)
  expect(performance.now() - startedAt).toBeGreaterThan(3500)
  expect(flow.answers).toEqual(Array.from({ length: 20 }, () => 202))
  const told = flow.cards.map(({ text }) => Number(/n: (\d+)/.exec(text)?.[1]))
  expect(told.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n))
})

test('a workflow that is switched off is tried once; with a new URL what is owed arrives', async () => {
  const org = await story.addOrg()
  const app = await install(org)
  const flow = teams.createFlow()
  const path = `${app.path}/webhooks/${await app.connect(flow, { eventTypes: ['story.*'] })}`
  const operator = stack.use(await openReceiver())
  await org.subscribe(operator.url)
  flow.state = 'off'
  const first = await org.emit('story.first')
  await isDisabled(org, path)
  const { webhook } = await done(org.call('GET', path))
  expect(webhook.disabledReason).toContain('switched off')
  const words = 'switch it on in Power Automate, or create a new one and paste its URL here'
  expect(webhook.disabledReason).toContain(words)
  expect(webhook.health.state).toBe('disabled')
  expect(await app.get()).toMatchObject({
    isEnabled: true,
    status: 'needs_attention',
    statusDetail: expect.stringContaining(words),
  })

  const told = () =>
    operator.requests.map(({ body }) => JSON.parse(body)).filter(({ type }) => /^integ/.test(type))
  await until('it is told', () => told().length > 0)
  await org.emit('story.second')
  const typesSent = () => operator.requests.map(({ headers }) => headers['x-ai-chat-event'])
  await until('others have the next', () => typesSent().includes('story.second'))
  const ofFlow = (await org.deliveries(first)).filter(({ webhookId }) => path.endsWith(webhookId))
  expect(ofFlow).toMatchObject([{ status: 'owed', attempts: 1 }])
  expect(flow.answers).toEqual([400])
  expect(told()).toMatchObject([
    {
      type: 'integration.needs_attention',
      data: { integrationId: app.id, providerKey: 'teams', detail: expect.stringContaining(words) },
    },
  ])

  const mended = teams.createFlow()
  const changed = await done(org.call('PATCH', path, { url: mended.url }))
  expect(changed.webhook).toMatchObject({ isActive: true, disabledReason: null })
  expect(await app.get()).toMatchObject({ status: 'connected', statusDetail: null })
  await hasCards(mended, 1)
  // What was emitted meanwhile was owed to nobody, and is not lost: it is asked for.
  const since = new Date(Date.now() - 3_600_000).toISOString()
  await done(org.call('POST', `${path}/recover`, { since, statuses: ['missed'] }))
  await hasCards(mended, 2)
  const titles = mended.cards.map(({ text }) => text.split('\n')[0])
  expect(titles).toEqual(['story.first', 'story.second'])
  expect(flow.answers).toEqual([400])
  expect(told()).toHaveLength(1)
})

test.each([
  ['deleted', 404, 'was deleted'],
  ['tenant only', 401, 'Anyone'],
] as const)(
  'a workflow that is %s is tried once and says what to do',
  async (state, status, words) => {
    const org = await story.addOrg()
    const app = await install(org)
    const flow = teams.createFlow()
    const path = `${app.path}/webhooks/${await app.connect(flow)}`
    flow.state = state
    const eventId = await org.emit()
    await isDisabled(org, path)
    expect((await app.get()).statusDetail).toContain(words)
    const [delivery] = await org.deliveries(eventId)
    expect(delivery).toMatchObject({ status: 'owed', attempts: 1 })
    expect(await org.attempts(delivery?.id ?? '')).toMatchObject([{ statusCode: status }])
  },
)
