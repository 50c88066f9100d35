import { afterAll, beforeEach, expect, test } from 'vitest'
import { openLlm } from '../doubles/llm.ts'
import { openTeams } from '../doubles/teams.ts'
import { until } from '../fixtures/process.ts'
import { conversationsOf, done } from './chat.ts'
import { openStory, type StoryOrg } from './story.ts'
import { hasCards, installTeams } from './teams.ts'

const MAX_REPLY_BYTES = 24_576
const TEAMS_WAITS_MS = 5000

const stack = new AsyncDisposableStack()
const teams = stack.use(await openTeams())
const llm = stack.use(await openLlm())
const story = stack.use(await openStory({ env: { ...llm.env, TEAMS_WORKFLOW_HOSTS: '127.0.0.1' } }))
afterAll(() => stack.disposeAsync())
beforeEach(() => {
  llm.release()
  llm.answer = (said) => `Answer to: ${said}`
})

const install = (org: StoryOrg) => installTeams(story, teams, org)

test('what is mentioned in Teams is answered in the response', async () => {
  const org = await story.addOrg()
  const bot = await (await install(org)).listen()
  const sent = await bot.mention({ text: 'What is <new> & good?' })
  expect(sent).toMatchObject({ status: 200, shown: 'Answer to: What is &lt;new> & good?' })
  expect(sent.durationMs).toBeLessThan(TEAMS_WAITS_MS)
  expect(await conversationsOf(org)).toEqual([
    ['What is <new> & good?', 'Answer to: What is <new> & good?'],
  ])
  const { rows } = await story.pool.query(
    `select external_user from patchbay.messages where org_id = $1 and role = 'user'`,
    [org.id],
  )
  expect(rows).toEqual([
    { external_user: { id: '4f1b1d2e-0000-4000-8000-5f6a7b8c9d01', name: 'Ada Lovelace' } },
  ])
})

test('the same activity again is the same turn, also ten times at once', async () => {
  const org = await story.addOrg()
  const bot = await (await install(org)).listen()
  const sent = await bot.mention({ text: 'Once?' })
  expect((await bot.sendAgain(sent)).shown).toBe('Answer to: Once?')
  // Signed as it would be, and not sent yet.
  const elsewhere = teams.createOutgoingWebhook({ name: 'Patchbay', url: 'http://127.0.0.1:1/' })
  const signedWith = bot.securityToken
  const copy = await elsewhere.mention({ text: 'Ten times?', signedWith })
  const all = await Promise.all(Array.from({ length: 10 }, () => bot.sendAgain(copy)))
  const shown = all.map((one) => one.shown)
  expect(shown).toContain('Answer to: Ten times?')
  expect(
    shown.filter(
      (text) => !/^(?:Answer to: Ten times\?|I have that question already .+)$/.test(text ?? ''),
    ),
  ).toEqual([])
  expect(await conversationsOf(org)).toEqual([
    ['Once?', 'Answer to: Once?'],
    ['Ten times?', 'Answer to: Ten times?'],
  ])
})

test('mentions in one conversation of Teams are one conversation here, and another is another', async () => {
  const org = await story.addOrg()
  const bot = await (await install(org)).listen()
  const first = await bot.mention({ text: 'One?' })
  await bot.mention({ text: 'Two?', conversation: first.conversationId })
  await bot.mention({ text: 'Else?' })
  expect(await conversationsOf(org)).toEqual([
    ['One?', 'Answer to: One?', 'Two?', 'Answer to: Two?'],
    ['Else?', 'Answer to: Else?'],
  ])
  expect(llm.asked.at(-2)).toEqual(['One?', 'Answer to: One?', 'Two?'])
})

test('an answer that no message of Teams could hold is cut and says so', async () => {
  const org = await story.addOrg()
  const bot = await (await install(org)).listen()
  llm.answer = () => '🎉'.repeat(50_000)
  const { body, shown } = await bot.mention({ text: 'Long?' })
  expect(Buffer.byteLength(body)).toBeLessThanOrEqual(MAX_REPLY_BYTES)
  expect(shown).toMatch(/^🎉+\n\n… \(cut: 50000 characters in all\)$/u)
})

test('what is not signed by the webhook, or old, is refused and asks nobody', async () => {
  const org = await story.addOrg()
  const app = await install(org)
  const bot = await app.listen()
  const sent = await bot.mention({ text: 'Hello?' })
  const asked = llm.asked.length
  const other = Buffer.alloc(32, 7).toString('base64')
  const old = new Date(Date.now() - 16 * 60_000)
  const early = new Date(Date.now() + 16 * 60_000)
  for (const refused of [
    await bot.mention({ text: 'Forged?', signedWith: other }),
    await bot.sendAgain({ ...sent, rawBody: sent.rawBody.replace('Hello?', 'Hellp?') }),
    await bot.sendAgain({ ...sent, authorization: 'HMAC ' }),
    await bot.mention({ text: 'Old?', timestamp: old }),
    await bot.mention({ text: 'Early?', timestamp: early }),
  ]) {
    expect(refused.status).toBe(401)
    expect(JSON.parse(refused.body)).toMatchObject({ error: 'UNAUTHENTICATED', status: 401 })
  }
  const byteOff = sent.authorization.replace(/(?<=HMAC )./, (sign) => (sign === 'A' ? 'B' : 'A'))
  const { status, headers } = await story.call('POST', `/inbound/teams/${app.id}`, {
    text: sent.rawBody,
    headers: { authorization: byteOff },
  })
  expect(status).toBe(401)
  expect(headers.get('content-type')).toContain('application/problem+json')
  expect(llm.asked).toHaveLength(asked)
  expect(await conversationsOf(org)).toHaveLength(1)
})

test.each([
  ['listens to all', ['*']],
  ['listens to something else', ['story.*']],
])(
  'what takes longer than Teams waits comes later, once, by the workflow that %s',
  async (_, eventTypes) => {
    const org = await story.addOrg()
    const app = await install(org)
    const flow = teams.createFlow()
    await app.connect(flow, { eventTypes })
    const bot = await app.listen()
    llm.hold()
    const sent = await bot.mention({ text: 'What takes long?' })
    expect(sent).toMatchObject({ status: 200, isLate: false })
    expect(sent.shown).toBe('I am working on it. The answer comes to the channel in a moment.')
    expect((await bot.sendAgain(sent)).shown).toContain('already')
    expect(flow.cards).toEqual([])
    llm.release()
    await hasCards(flow, 1)
    // In the lane it comes after whatever else there were of the answer.
    await org.ended(await org.emit())
    await hasCards(flow, 2)
    expect(flow.cards.map(({ text }) => text.split('\n'))).toEqual([
      ['Answer to Ada Lovelace', '“What takes long?”', 'Answer to: What takes long?'],
      ['story.told'],
    ])
    expect((await bot.sendAgain(sent)).shown).toBe('Answer to: What takes long?')
    expect(await conversationsOf(org)).toEqual([
      ['What takes long?', 'Answer to: What takes long?'],
    ])
  },
)

test('an answer in the response is not told again by a workflow that does not listen for it', async () => {
  const org = await story.addOrg()
  const app = await install(org)
  const flow = teams.createFlow()
  await app.connect(flow, { eventTypes: ['story.*'] })
  const bot = await app.listen()
  expect((await bot.mention({ text: 'Quick?' })).shown).toBe('Answer to: Quick?')
  await org.ended(await org.emit())
  expect(flow.cards.map(({ text }) => text.split('\n')[0])).toEqual(['story.told'])
})

test.each([
  ['there is no workflow', null],
  ['the workflow may not have what is said', 'thin'],
])('what takes long where %s says so, and is there when it is asked again', async (_, content) => {
  const org = await story.addOrg()
  const app = await install(org)
  const flow = teams.createFlow()
  if (content !== null) await app.connect(flow, { content, eventTypes: ['story.*'] })
  const bot = await app.listen()
  llm.hold()
  const sent = await bot.mention({ text: 'Who brings it?' })
  expect(sent.shown).toContain('no workflow to bring it')
  llm.release()
  await until('it is answered', async () => (await conversationsOf(org)).flat().length === 2)
  expect((await bot.sendAgain(sent)).shown).toBe('Answer to: Who brings it?')
  await org.emit()
  if (content !== null) await hasCards(flow, 1)
  expect(flow.cards.map(({ text }) => text.split('\n')[0])).toEqual(
    content === null ? [] : ['story.told'],
  )
})

test('a disabled integration takes no question, and its own again when it is enabled', async () => {
  const org = await story.addOrg()
  const app = await install(org)
  const bot = await app.listen()
  await done(org.call('PATCH', app.path, { isEnabled: false }))
  const refused = await bot.mention({ text: 'Anybody?' })
  expect(refused.status).toBe(403)
  expect(JSON.parse(refused.body)).toMatchObject({ error: 'FORBIDDEN' })
  expect(await conversationsOf(org)).toEqual([])
  await done(org.call('PATCH', app.path, { isEnabled: true }))
  expect((await bot.sendAgain(refused)).shown).toBe('Answer to: Anybody?')
})

test('a question that was given up says so when it is asked again', async () => {
  const org = await story.addOrg()
  const app = await install(org)
  const bot = await app.listen()
  llm.hold()
  const sent = await bot.mention({ text: 'Lost?' })
  await story.pool.query(
    `update patchbay.inbound_events set state = 'failed', payload = null where integration_id = $1`,
    [app.id],
  )
  expect((await bot.sendAgain(sent)).shown).toBe('I could not answer that. Please ask me again.')
  llm.release()
  expect((await bot.mention({ text: 'Again?' })).shown).toBe('Answer to: Again?')
  // Whoever still works on what was given up changes nothing any more.
  expect((await conversationsOf(org)).flat()).not.toContain('Lost?')
})
