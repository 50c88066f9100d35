import { afterAll, describe, expect, test } from 'vitest'
import { openSlack } from '../doubles/slack.ts'
import { until } from '../fixtures/process.ts'
import { connect, install, openWorkspace, say, slackSettings, statusOf } from './slack-workspace.ts'
import { openStory, type StoryOrg } from './story.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const slack = stack.use(await openSlack())
const story = stack.use(await openStory({ env: slackSettings(slack) }))
connect(slack, story)

async function messagesOf(org: StoryOrg): Promise<{ role: string; content: string }[]> {
  const { rows } = await story.pool.query(
    'select role, content from patchbay.messages where org_id = $1 order by id',
    [org.id],
  )
  return rows
}

test('the longest answer fits into a message, says what is missing, and pings nobody', async () => {
  const { org, channel } = await openWorkspace(slack, story, 'Long')
  const id = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02'
  const said = '<!channel> <@U1> [https://bank.example](https://evil.example) 👩‍👩‍👧‍👦 '
  await org.emit('chat.turn.completed', {
    assistantMessageId: id,
    userMessageId: id,
    model: 'm',
    toolRunIds: [],
    content: { user: said.repeat(200), assistant: said.repeat(600) },
  })
  await until('it is there', () => slack.messagesIn(channel).length === 1)
  const [message] = slack.messagesIn(channel)
  expect(message?.pings).toEqual([])
  expect(message?.links.filter(({ label }) => label.includes('bank.example'))).toEqual([])
  expect(message?.shown).toMatch(/The answer is cut here: [\d,]+ more characters are not shown/)
  expect(message?.shown.isWellFormed()).toBe(true)
})

describe('somebody in Slack', () => {
  test('who mentions the assistant is answered in the thread, once, though Slack tells of it three times', async () => {
    const { org, channel } = await openWorkspace(slack, story, 'Mention')
    const { message } = await slack.mention({
      channel,
      user: 'UANN',
      text: 'what time is it?',
      sendTwiceMore: 'at once',
    })
    await until('there is an answer', () => slack.messagesIn(channel).length === 2)
    await slack.settled()
    const [, answer] = slack.messagesIn(channel)
    expect(answer).toMatchObject({ threadTs: message.ts, pings: [], by: { kind: 'bot' } })

    await slack.threadReply({ channel, user: 'UBOB', text: 'and in Tokyo?', thread: message.ts })
    await until('the reply is answered', () => slack.messagesIn(channel).length === 4)
    expect(slack.messagesIn(channel)[3]?.threadTs).toBe(message.ts)
    await slack.settled()
    const said = await messagesOf(org)
    expect(said.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
    expect(said[0]?.content).toBe('what time is it?')
    const { rows } = await story.pool.query(
      'select count(distinct conversation_id)::int as conversations from patchbay.messages where org_id = $1',
      [org.id],
    )
    expect(rows).toEqual([{ conversations: 1 }])
  })

  test('who writes where nobody asked the assistant is left in peace, and so are bots', async () => {
    const { org, team, channel } = await openWorkspace(slack, story, 'Peace')
    await slack.say({ channel, user: 'UANN', text: 'lunch?' })
    const { message } = await slack.say({ channel, user: 'UBOB', text: 'a thread of ours' })
    await slack.threadReply({ channel, user: 'UANN', text: 'yes', thread: message.ts })
    const url = `${story.url}/inbound/slack/events`
    const bot = { type: 'app_mention', channel: channel.id, ts: '1.1', bot_id: 'B1', text: 'hi' }
    const sent = await slack.sendEvent(url, bot, { teamId: team.id })
    expect(sent.map(({ status }) => status)).toEqual([200])
    // What is to be answered is written down before Slack is told that it came.
    const { rows } = await story.pool.query(
      'select key from patchbay.inbound_events where org_id = $1',
      [org.id],
    )
    expect(rows).toEqual([])
    expect(await messagesOf(org)).toEqual([])
  })

  test('who writes directly is answered', async () => {
    const { team } = await openWorkspace(slack, story, 'Direct')
    const channel = slack.addChannel(team, 'ann', { kind: 'direct', hasBot: true })
    await slack.directMessage({ channel, user: 'UANN', text: 'hello' })
    await until('there is an answer', () => slack.messagesIn(channel).length === 2)
  })

  test('who asks by /ask is answered through the response URL, for their eyes', async () => {
    const { org, channel, path } = await openWorkspace(slack, story, 'Command')
    const asked = await slack.slashCommand({ channel, user: 'UANN', text: 'what is new?' })
    expect(asked).toMatchObject({ problem: null })
    expect(asked.sent.durationMs).toBeLessThan(3000)
    expect(JSON.parse(asked.sent.answer)).toEqual({
      response_type: 'ephemeral',
      text: 'Asking the assistant…',
    })
    const answers = () =>
      slack.messages.filter(({ channelId, ephemeralTo, by }) => {
        return channelId === channel.id && ephemeralTo === 'UANN' && by.kind === 'response'
      })
    await until('there is an answer', () => answers().length === 2)
    await until('it is noted', async () => {
      const { rows } = await story.pool.query(
        `select from patchbay.inbound_events where org_id = $1 and state = 'done' and payload is null`,
        [org.id],
      )
      return rows.length === 1
    })
    const [acknowledged, answer, ...others] = answers().map(({ shown }) => shown)
    expect([acknowledged, others]).toEqual(['Asking the assistant…', []])
    expect(answer).toContain((await messagesOf(org)).at(-1)?.content)
    // The channel is told of every turn, and not of what somebody asked for their eyes.
    await until('all is fanned out', () => story.isFannedOut())
    const { body } = await org.call('GET', `${org.path}/events?type=chat.turn.completed`)
    const [turn] = body.events
    const webhooks = (await org.call('GET', `${path}/webhooks`)).body.webhooks
    const at = `${org.path}/events/${turn.id}/explain?webhookId=${webhooks[0].id}`
    expect((await org.call('GET', at)).body).toMatchObject({
      verdict: 'not_subscribed',
      reason: expect.stringContaining('asked in this app'),
    })
    expect((await org.call('GET', `${org.path}/events/${turn.id}`)).body.deliveries).toEqual([])
    const since = new Date(Date.now() - 60_000).toISOString()
    const dryRun = { since, statuses: ['missed'], dryRun: true }
    const recover = `${path}/webhooks/${webhooks[0].id}/recover`
    expect((await org.call('POST', recover, dryRun)).body).toEqual({ matched: 0 })
    const empty = await slack.slashCommand({ channel, user: 'UANN', text: '' })
    expect(empty.sent.answer).toContain('Write your question after it')
  })
})

describe('a request that says it is Slack', () => {
  test('is refused with a signature that is a byte off, or a time that is old or ahead', async () => {
    const { team, channel } = await openWorkspace(slack, story, 'Signed')
    const url = `${story.url}/inbound/slack/events`
    const event = { type: 'app_mention', channel: channel.id, ts: '2.1', user: 'UANN', text: 'hi' }
    const nowS = Math.floor(Date.now() / 1000)
    for (const options of [
      { signature: `v0=${'0'.repeat(64)}` },
      { timestampS: nowS - 301 },
      { timestampS: nowS + 320 },
    ]) {
      const sent = await slack.sendEvent(url, event, { ...options, teamId: team.id })
      expect(sent[0]).toMatchObject({ status: 401 })
    }
    expect(slack.messagesIn(channel)).toEqual([])
    expect(await slack.urlVerification(url)).toMatchObject({ status: 200, isRight: true })
  })

  test('of a workspace nobody has is acknowledged and dropped', async () => {
    const event = { type: 'app_mention', channel: 'C1', ts: '3.1', user: 'UANN', text: 'hi' }
    const url = `${story.url}/inbound/slack/events`
    const sent = await slack.sendEvent(url, event, { teamId: 'TNOBODY' })
    expect(sent.map(({ status }) => status)).toEqual([200])
  })
})

describe('an incoming webhook', () => {
  test('that is removed in Slack needs attention, gets nothing more, and loses nothing', async () => {
    const org = await story.addOrg()
    const team = slack.addTeam('Hooks')
    const channel = slack.addChannel(team, 'alerts')
    const { body } = await org.call('POST', `${org.path}/integrations`, {
      providerKey: 'slack',
      name: 'Alerts',
    })
    const path = `${org.path}/integrations/${body.integration.id}`
    const hook = slack.addWebhook(channel)
    const made = await org.call('POST', `${path}/webhooks`, { url: hook, eventTypes: ['story.*'] })
    expect(made).toMatchObject({ status: 201, body: { webhook: { rateLimit: { perSecond: 1 } } } })
    expect(JSON.stringify(made.body)).not.toContain(hook)
    await org.ended(await org.emit())
    expect(slack.messagesIn(channel)).toHaveLength(1)

    slack.removeWebhook(hook)
    const lost = await org.emit()
    await until('it needs attention', async () => {
      return (await statusOf(org, path)).status === 'needs_attention'
    })
    expect(await statusOf(org, path)).toMatchObject({
      isEnabled: true,
      statusDetail: 'The Slack webhook was removed: create a new one and paste its URL here.',
    })
    const calls = slack.received.length
    const missed = await org.emit()
    await until('it is fanned out', () => story.isFannedOut())
    const events = await org.call('GET', `${org.path}/events?type=integration.needs_attention`)
    expect(events.body.events).toHaveLength(1)
    const { webhook } = made.body
    expect((await org.call('GET', `${path}/webhooks/${webhook.id}`)).body.webhook).toMatchObject({
      isActive: false,
      disabledReason: expect.stringContaining('was removed'),
    })
    expect(slack.received).toHaveLength(calls)

    const mended = { url: slack.addWebhook(channel) }
    expect(await org.call('PATCH', `${path}/webhooks/${webhook.id}`, mended)).toMatchObject({
      status: 200,
      body: { webhook: { isActive: true, disabledReason: null } },
    })
    const [refused] = await org.deliveries(lost)
    await story.makeDue(refused?.id ?? '')
    expect(await org.ended(lost)).toMatchObject({ status: 'delivered', attempts: 2 })
    const why = await org.call(
      'GET',
      `${org.path}/events/${missed}/explain?webhookId=${webhook.id}`,
    )
    expect(why.body).toMatchObject({
      verdict: 'disabled_then',
      reason: expect.stringContaining('was removed'),
    })
    expect(await statusOf(org, path)).toMatchObject({ status: 'connected', statusDetail: null })
  })
})

describe('a token that Slack does not take any more', () => {
  test('disconnects the integration with what to do; a new one connects it again', async () => {
    const { org, team, channel, path } = await openWorkspace(slack, story, 'Revoked')
    slack.connect({ events: 'http://127.0.0.1:1/nowhere' })
    await slack.revokeTokens(team)
    connect(slack, story)
    await say(org, 'after the end')
    await until('it is disconnected', async () => {
      return (await statusOf(org, path)).status === 'disconnected'
    })
    expect((await statusOf(org, path)).statusDetail).toContain('install it again')
    expect((await org.call('POST', `${path}/verify`)).body).toMatchObject({ ok: false })
    const events = await org.call('GET', `${org.path}/events?type=integration.needs_attention`)
    expect(events.body.events).toHaveLength(1)
    await install(slack, story, org, { team, channel })
    const { rows } = await story.pool.query(
      'select id from patchbay.delivery_queue where org_id = $1',
      [org.id],
    )
    for (const { id } of rows) await story.makeDue(id)
    await until('it is there after all', () => slack.messagesIn(channel).length === 1)
  })
})
